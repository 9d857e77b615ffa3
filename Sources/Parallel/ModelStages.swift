package import Autograd
package import Model
package import Pipeline
package import Tensors

/// The stages of a model that a rank of a pipeline holds, and the micro-batches that are in them.
///
/// A tape lives from a forward to the end of its weight gradients: dropping it frees its activations.
package final class ModelStages: StageWork {
  /// How a cell's forward begins: the micro-batch and what goes with it.
  package typealias Start = (_ cell: Cell) -> (batch: MicroBatch, context: ForwardContext)

  /// A micro-batch between its forward and the end of its backward.
  private struct Live {
    let context: ForwardContext
    let input: Variable?
    /// What backward begins at, with the gradients of the losses; the stream of a stage that is not the last one
    /// without: its gradient arrives.
    var roots: [(Variable, Tensor?)]
    var owed: [WeightWork] = []
  }

  private let model: DeepSeek
  /// By slot.
  private let stages: [StageContents]
  private let objective: Objective
  private let start: Start
  /// Where backward passes leave the weight gradients that may be computed while the rank waits; nil: nowhere.
  private let weights: WeightQueue?
  /// `[tokens, width]`
  private let shape: [Int]
  private var live: [Cell: Live] = [:]
  /// What the tokens' losses add up to, of the cells of a last stage.
  package private(set) var losses: [Cell: LossSums] = [:]
  /// What the layers with experts decided.
  package private(set) var routing: [Cell: [LayerRouting]] = [:]
  /// The most micro-batches that had activations at once, a stage's each.
  package private(set) var peakLive = 0

  /// - Parameters:
  ///   - stages: of this rank, by slot.
  ///   - tokens: of a micro-batch.
  ///   - weights: what whole backward passes leave their weight gradients to; nil: they compute them.
  package init(
    _ model: DeepSeek, _ stages: [StageContents], _ objective: Objective, tokens: Int,
    leavingTo weights: WeightQueue?, start: @escaping Start
  ) {
    (self.model, self.stages, self.objective, self.start) = (model, stages, objective, start)
    self.weights = weights
    shape = [tokens, model.configuration.hiddenSize]
  }

  package func room(for _: Cell) -> Tensor { Tensor(shape, model.compute, on: model.device) }

  package func forward(_ cell: Cell, _ input: Tensor?) -> Tensor? {
    let (stage, (batch, context)) = (stages[cell.slot], start(cell))
    // Without rows that travel nothing bounds how long what is left of another micro-batch stays beside this one's.
    if !hasExperts(stage) { weights?.runAll() }
    let variable = input.map { Variable($0) }
    var entry = Live(context: context, input: variable, roots: [])
    var output: Tensor?
    // Counted at the start: what a forward computes is live.
    defer { routing[cell] = context.routing }
    live[cell] = entry
    peakLive = max(peakLive, live.count)
    if stage.hasHead {
      let (roots, sums, _) = model.losses(of: stage, batch, from: variable, objective, context)
      losses[cell] = sums
      entry.roots = roots.map { ($0, Tensor([1], [1 as Float], on: model.device)) }
    } else {
      let stream = model.hiddenStates(of: stage, batch, from: variable, context)
      output = stream.value
      // What is sent keeps its memory itself, and backward does not read it.
      context.forget(stream)
      entry.roots = [(stream, nil)]
    }
    live[cell] = entry
    return output
  }

  private func hasExperts(_ stage: StageContents) -> Bool {
    let first = model.configuration.numHiddenLayers
    return model.expertLayerNumbers.contains { stage.layers.contains($0) || (stage.hasHead && $0 >= first) }
  }

  package func backward(_ cell: Cell, _ gradient: Tensor?, _ time: WeightTime) -> Tensor? {
    guard var entry = live[cell] else { preconditionFailure("backward of \(cell) before its forward") }
    let roots = entry.roots.map { root, own in
      guard let gradient = own ?? gradient else { preconditionFailure("\(cell): no gradient has arrived") }
      return (root, gradient)
    }
    entry.roots = []
    let tape = entry.context.tape
    switch time {
    case .whileWaiting: tape.backward(from: roots, leavingTo: weights)
    case .whileWaitingOrLater, .later:
      entry.owed = tape.inputGradients(from: roots, leavingTo: time == .later ? nil : weights)
    }
    let result = entry.input?.gradient
    precondition((result == nil) == (entry.input == nil), "\(cell): no gradient of its input")
    live[cell] = time == .whileWaiting ? nil : entry
    return result
  }

  package func weightGradient(_ cell: Cell) {
    guard let entry = live.removeValue(forKey: cell) else {
      preconditionFailure("weight gradients of \(cell) before its input gradient")
    }
    weights?.runAll()
    for work in entry.owed { work.run() }
  }
}
