internal import Autograd
internal import Model
internal import Tensors

/// The bytes that a rank sends to others for the experts of one layer and one micro-batch, in the mean over choices of
/// experts that are all equally likely. Counts of rows, which travel first, are left out.
package struct ExchangeVolume: Sendable, Hashable {
  /// Rows to the experts, and gradients of their results; results, and gradients of the rows.
  package struct Bytes: Sendable, Hashable {
    package var dispatch = 0.0
    package var combine = 0.0
    package var total: Double { dispatch + combine }

    static func + (a: Bytes, b: Bytes) -> Bytes {
      Bytes(dispatch: a.dispatch + b.dispatch, combine: a.combine + b.combine)
    }
    static func * (a: Bytes, factor: Double) -> Bytes {
      Bytes(dispatch: a.dispatch * factor, combine: a.combine * factor)
    }
  }

  package var forward = Bytes()
  package var backward = Bytes()
  /// The part of both that goes to other nodes.
  package var betweenNodes = 0.0

  /// Both ways.
  package var bytes: Bytes { forward + backward }

  /// - Parameters:
  ///   - nodes: of the ranks that share the experts, in their order.
  ///   - isTwoLevel: whether a row goes once to each node, and on from there.
  init(
    tokens: Int, of model: ModelConfiguration, nodes: [Int], isTwoLevel: Bool, row: Row
  ) {
    let (ranks, count) = (nodes.count, Set(nodes).count)
    guard ranks > 1 else { return }
    let rows = { (parts: Int) in Double(tokens) * model.expectedVisits(parts: parts) }
    let (all, ranksOfNode) = (Double(ranks), Double(ranks) / Double(count))
    let far: Double
    let near: Double
    if isTwoLevel {
      (far, near) = (rows(count) * (1 - 1 / Double(count)), rows(ranks) * (1 - 1 / ranksOfNode))
    } else {
      far = rows(ranks) * (1 - ranksOfNode / all)
      near = rows(ranks) * (1 - 1 / all) - far
    }
    forward = row.forward * (far + near)
    backward = row.backward * (far + near)
    betweenNodes = (row.forward + row.backward).total * far
  }

  /// What one row is on its four ways.
  struct Row: Sendable, Hashable {
    let forward, backward: Bytes

    /// - Parameter float8: of the layer's routed experts.
    init(_ model: ModelConfiguration, compute: DType, float8: Float8Settings?) {
      let (width, selected) = (model.hiddenSize, model.numExpertsPerTok)
      let numbers = Double(width * compute.byteCount)
      let codes = Double(width + 4 * QuantizedTensor.tiles(width))
      // Weights with the experts that they are of; gradients of weights come back.
      let weights = Double(4 * selected)
      let sends = { (gemm: Float8Settings.GEMM) in float8?.gemms.contains(gemm) == true ? codes : numbers }
      forward = Bytes(dispatch: sends(.fprop) + 2 * weights, combine: numbers)
      backward = Bytes(dispatch: sends(.dgrad), combine: numbers + weights)
    }
  }
}
