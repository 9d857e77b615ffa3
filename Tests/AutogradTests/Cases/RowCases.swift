import Autograd
import Tensors

/// Operations that move rows.
extension OperationCase {
  static var rowCases: [OperationCase] { [split, firstPart, concatenation, rowMask, embedding] }

  /// The parts, the other way round.
  private static var split: OperationCase {
    OperationCase(
      Split.self, "both parts", leaves: [.variable("x", [5, 13])], roundings: 1,
      record: { graph in
        let (y, saved) = graph.tape.apply(Split.self, (graph.variable("x"), 7))
        return graph.tape.apply(Concatenation.self, (saved.rest, y)).output
      },
      reference: { x in
        (0..<5).flatMap { (t: Int) -> [Double] in
          let row = x["x"]![t * 13..<t * 13 + 13]
          return Array(row.dropFirst(7)) + Array(row.prefix(7))
        }
      })
  }

  private static var firstPart: OperationCase {
    OperationCase(
      Split.self, "first part", leaves: [.variable("x", [5, 13])], roundings: 1,
      inputs: { ($0.variable("x"), 7) },
      reference: { x in (0..<5).flatMap { t in x["x"]![t * 13..<t * 13 + 7] } })
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
