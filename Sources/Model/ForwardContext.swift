package import Autograd
package import Tensors

/// Which activations are computed again in backward instead of kept, as DeepSeek-V3 does (§3.2.3).
/// Routing is never computed again, so that nothing is counted twice.
package struct Recomputation: OptionSet, Sendable, Hashable {
  package let rawValue: Int
  package init(rawValue: Int) { self.rawValue = rawValue }

  /// Every RMSNorm's output.
  package static let norms = Recomputation(rawValue: 1)
  /// The outputs of q_b and kv_b.
  package static let upProjections = Recomputation(rawValue: 2)
  /// The outputs of SwiGLU in dense layers and shared experts (routed experts always recompute theirs).
  package static let swiglu = Recomputation(rawValue: 4)
}

/// What one forward pass carries from layer to layer.
package final class ForwardContext {
  package let tape: Tape
  /// B sequences of S tokens, one after the other.
  package let sequences, length: Int
  package let table: RotaryTable
  package let recomputation: Recomputation
  package let balance: BalanceLosses
  /// Carries tokens to the ranks that hold their experts; nil where this one holds all.
  package let exchange: (any ExpertExchange)?
  /// Keys and values of earlier tokens; nil in training.
  package let cache: KeyValueCache?
  /// Sees intermediate results by name (`layer_out.3`); for tests and debugging.
  package let observe: ((String, Tensor) -> Void)?
  /// Told the number of a segment of ``DeepSeek/segments`` before forward reads its parameters.
  package var willRead: ((Int) -> Void)?
  /// Told the number of a segment of ``DeepSeek/segments`` once backward has passed it: all that the micro-batch adds
  /// to the gradients of its parameters is added then.
  package var hasPassed: ((Int) -> Void)?
  /// Watches the FP8 matrices; nil on most steps.
  package let monitor: Float8Monitor?
  /// What each layer with experts decided, in the order of the layers.
  package private(set) var routing: [LayerRouting] = []
  /// `[B·S]` int32, the first position of its row that each query sees; nil for all. Told by the batch.
  var documents: Tensor?

  package init(
    tape: Tape, sequences: Int, length: Int, table: RotaryTable, recomputation: Recomputation = [],
    balance: BalanceLosses = BalanceLosses(), exchange: (any ExpertExchange)? = nil,
    cache: KeyValueCache? = nil, monitor: Float8Monitor? = nil, observe: ((String, Tensor) -> Void)? = nil
  ) {
    (self.tape, self.sequences, self.length, self.table) = (tape, sequences, length, table)
    (self.recomputation, self.balance, self.exchange) = (recomputation, balance, exchange)
    (self.cache, self.monitor, self.observe) = (cache, monitor, observe)
  }

  /// Marks where a segment begins.
  func begin(_ segment: Int) {
    willRead?(segment)
    guard let hasPassed else { return }
    tape.whenPassed { hasPassed(segment) }
  }

  func note(_ routing: LayerRouting) { self.routing.append(routing) }

  /// Drops activations that the recomputation policy names, or whose codes are what backward reads.
  func release(_ what: Recomputation, _ variables: Variable..., hasCodes: Bool = false) {
    guard hasCodes || recomputation.contains(what) else { return }
    for variable in variables { forget(variable) }
  }

  /// Drops an activation that backward does not read, or can have again.
  package func forget(_ variable: Variable) {
    guard tape.isRecording else { return }
    variable.forget()
    variable.forgetCodes()
  }
}

/// The routing of one layer in one micro-batch.
package struct LayerRouting {
  package let layer: Int
  package let selection: RouterSelection
  /// Tokens that each expert received.
  package let counts: [Int]
  package let balanceLoss: Double
}

/// Keys and values of the tokens so far, one sequence, in the form that attention reads.
package final class KeyValueCache {
  package let capacity: Int
  /// Tokens stored; advanced by the model after a forward pass.
  package internal(set) var count = 0
  private var layers: [Int: (kv: Tensor, kr: Tensor)] = [:]

  package init(capacity: Int) { self.capacity = capacity }

  /// Appends the new tokens' rows, and returns those of all tokens so far.
  func append(layer: Int, kv: Tensor, kr: Tensor) -> (kv: Tensor, kr: Tensor) {
    let total = count + kv.rows
    precondition(total <= capacity, "\(total) tokens in a cache for \(capacity)")
    let store =
      layers[layer]
      ?? (
        Tensor([capacity, kv.columns], kv.dtype, on: kv.device),
        Tensor([capacity, kr.columns], kr.dtype, on: kr.device)
      )
    layers[layer] = store
    return (Self.extend(store.kv, kv, from: count), Self.extend(store.kr, kr, from: count))
  }

  private static func extend(_ store: Tensor, _ rows: Tensor, from first: Int) -> Tensor {
    store.row(first).copyMemory(from: rows.pointer, byteCount: rows.byteCount)
    return store.view(at: 0, [first + rows.rows, store.columns])
  }
}
