package import Tensors

/// The way of one layer's tokens, in one micro-batch, to the ranks that hold their experts, and back.
///
/// Forward scatters x and the weights, and gathers y; backward scatters dy, and gathers dx and the gradients of the
/// weights, on the same way: dispatch and combine are each other's derivative. What is started is finished before
/// anything else is started in the same direction; between the two, other work hides the travel.
/// `T` tokens of this rank, `R` rows that arrive here, `K` selected experts.
package protocol ExpertRoute: AnyObject {
  /// The rows that arrived, by local expert. Known once the weights have arrived.
  var plan: RoutingPlan { get }

  /// Whether others read what is scattered where it lies: it is best made there (``Device/lending(if:_:)``).
  var isReadInPlace: Bool { get }

  /// Sends the row of each token once to every rank that holds one of its experts.
  /// - Parameters:
  ///   - rows: `[T, D]`
  ///   - weights: `[T, K]`, on the way forward.
  func startScatter(_ rows: Operand, weights: Tensor?)

  /// - Returns: rows `[R, D]`, in the order of the ranks that they are from; weights `[R, K]` if such were sent.
  func finishScatter() -> (rows: Operand, weights: Tensor?)

  /// Sends rows `[R, D]` back to where their tokens are from, and gradients of the weights `[R, K]` on the way backward.
  func startGather(_ rows: Tensor, weights: Tensor?)

  /// - Returns: for each token the sum of what came back for it, `[T, D]` and `[T, K]`, in float32 and in the order of
  ///   the ranks.
  func finishGather() -> (rows: Tensor, weights: Tensor?)
}

/// Makes the ways of tokens to experts that are spread over ranks.
package protocol ExpertExchange: AnyObject {
  /// As that of its routes.
  var isReadInPlace: Bool { get }

  /// Cuts this rank's tokens into slices that are to go one after the other, so that each rank has room for the rows
  /// that arrive. All ranks have as many slices.
  /// - Parameters:
  ///   - indices: `[T, K]` int32, the experts of each token.
  ///   - layer: its number, for messages.
  func slices(_ indices: Tensor, layer: Int) -> [Range<Int>]

  /// Agrees with the other ranks on how many rows travel.
  /// - Parameters:
  ///   - indices: `[T, K]` int32, the experts of each token.
  ///   - layer: its number, for messages.
  func route(_ indices: Tensor, layer: Int) -> any ExpertRoute
}
