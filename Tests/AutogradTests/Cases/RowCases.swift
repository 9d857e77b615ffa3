import Autograd
import Tensors

/// Operations that move rows.
extension OperationCase {
  static var rowCases: [OperationCase] { [columns, concatenation, rowMask, embedding] }

  private static var columns: OperationCase {
    OperationCase(
      Columns.self, leaves: [.variable("x", [5, 13])], roundings: 1,
      inputs: { ($0.variable("x"), 3, 7) },
      reference: { x in (0..<5).flatMap { t in (3..<10).map { x["x"]![t * 13 + $0] } } })
  }

  private static var concatenation: OperationCase {
    OperationCase(
      Concatenation.self, leaves: [.variable("a", [6, 5]), .variable("b", [6, 9])], roundings: 1,
      inputs: { ($0.variable("a"), $0.variable("b")) },
      reference: { x in
        var y: [Double] = []
        for t in 0..<6 {
          y += x["a"]![t * 5..<t * 5 + 5]
          y += x["b"]![t * 9..<t * 9 + 9]
        }
        return y
      })
  }

  private static var rowMask: OperationCase {
    let keeps = [true, false, true, true, false]
    return OperationCase(
      RowMask.self, leaves: [.variable("x", [5, 7])], roundings: 1,
      inputs: { ($0.variable("x"), keeps) },
      reference: { x in x["x"]!.enumerated().map { keeps[$0.offset / 7] ? $0.element : 0 } })
  }

  /// Some tokens occur several times, some never.
  private static var embedding: OperationCase {
    let ids: [Int32] = [3, 8, 3, 0, 10, 3, 8, 1, 3]
    return OperationCase(
      Embedding.self, leaves: [.parameter("weight", [11, 7])], roundings: 4,
      inputs: { (ids, $0.parameter("weight")) },
      reference: { x in ids.flatMap { id in (0..<7).map { x["weight"]![Int(id) * 7 + $0] } } })
  }
}
