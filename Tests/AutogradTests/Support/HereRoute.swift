import Autograd
import Tensors

/// Two places of one process: experts below a boundary, and the others.
final class HereRoute: ExpertRoute {
  let isReadInPlace = false
  let plan: RoutingPlan
  /// Whether codes that arrive are handed over as the numbers that they stand for.
  private let decodes: Bool
  private let tokens: Tensor
  /// `[T, 2]`: the row of each token in either place; -1 for none.
  private let positions: Tensor
  private var scattered: (rows: Operand, weights: Tensor?)?
  private var gathered: (rows: Tensor, weights: Tensor?)?

  init(_ indices: Tensor, experts: Int, boundary: Int, decodes: Bool = false) {
    self.decodes = decodes
    let (count, selected, device) = (indices.rows, indices.columns, indices.device)
    let index = Array(indices.elements(Int32.self))
    var (tokens, local): ([Int32], [Int32]) = ([], [])
    var positions = [Int32](repeating: -1, count: 2 * count)
    for place in 0..<2 {
      for t in 0..<count {
        let here = index[t * selected..<(t + 1) * selected].map { ($0 < boundary) == (place == 0) ? $0 : -1 }
        guard here.contains(where: { $0 >= 0 }) else { continue }
        positions[2 * t + place] = Int32(tokens.count)
        tokens.append(Int32(t))
        local += here
      }
    }
    self.tokens = Tensor([tokens.count], tokens, on: device)
    self.positions = Tensor([count, 2], positions, on: device)
    plan = RoutingPlan(Tensor([tokens.count, selected], local, on: device), experts: experts)
  }

  func startScatter(_ rows: Operand, weights: Tensor?) {
    let arrived: Operand
    switch rows {
    case .numbers(let x): arrived = .numbers(gatherRows(x, tokens))
    case .codes(let x):
      let y = QuantizedTensor(
        rows: [tokens.count, x.codes.columns], hasPowerOfTwoScales: x.hasPowerOfTwoScales, on: x.device)
      let (codes, scales) = (gatherRows(x.codes, tokens), gatherRows(x.scales, tokens))
      y.codes.pointer.copyMemory(from: codes.pointer, byteCount: codes.byteCount)
      y.scales.pointer.copyMemory(from: scales.pointer, byteCount: scales.byteCount)
      arrived = .codes(y)
    }
    scattered = (arrived, weights.map { gatherRows($0, tokens) })
  }

  func finishScatter() -> (rows: Operand, weights: Tensor?) {
    defer { scattered = nil }
    let (rows, weights) = scattered!
    return (decodes ? .numbers(rows.numbers) : rows, weights)
  }

  func startGather(_ rows: Tensor, weights: Tensor?) { gathered = (rows, weights) }

  func finishGather() -> (rows: Tensor, weights: Tensor?) {
    defer { gathered = nil }
    let (rows, weights) = gathered!
    return (
      combineRows(rows, positions: positions), weights.map { combineRows($0, positions: positions) }
    )
  }
}
