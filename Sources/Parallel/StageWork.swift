package import Pipeline
package import Tensors

/// What a rank computes at the cells of its lane; ``PipelineExecutor`` says when.
package protocol StageWork: AnyObject {
  /// Room for an activation that arrives at a cell, or for the gradient of one that it has sent.
  func room(for cell: Cell) -> Tensor

  /// - Parameter input: nil where the route begins.
  /// - Returns: what the next stage goes on from; nil where the route ends.
  func forward(_ cell: Cell, _ input: Tensor?) -> Tensor?

  /// - Parameters:
  ///   - gradient: of what `forward` returned; nil where the route ends.
  ///   - time: when the weight gradients are computed.
  /// - Returns: the gradient of the input; nil where the route begins.
  func backward(_ cell: Cell, _ gradient: Tensor?, _ time: WeightTime) -> Tensor?

  /// What `backward` has put off.
  func weightGradient(_ cell: Cell)
}

/// When the weight gradients of a backward pass are computed.
package enum WeightTime: Sendable {
  /// While the rank waits; those left at the end before the next action, of a pair before its backward part. At once
  /// where nothing overlaps.
  case whileWaiting
  /// While the rank waits; those left in ``StageWork/weightGradient(_:)``, the next action.
  case whileWaitingOrLater
  /// In ``StageWork/weightGradient(_:)``.
  case later
}
