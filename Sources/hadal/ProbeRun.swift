internal import Autograd
internal import Checkpoint
internal import Model
internal import Tensors

/// One forward pass, and a backward pass where gradients are asked for. B rows of S tokens, V in the vocabulary.
struct ProbeRun {
  private let model: DeepSeek
  private let multiTokenWeight: Double?
  private let gradients: Bool

  /// - Parameter multiTokenWeight: nil for a model without its modules of multi-token prediction.
  init(_ model: DeepSeek, multiTokenWeight: Double?, gradients: Bool) {
    precondition((multiTokenWeight == nil) == model.predictors.isEmpty, "a weight without modules")
    (self.model, self.multiTokenWeight, self.gradients) = (model, multiTokenWeight, gradients)
  }

  /// All results by the names of the contract.
  func results(_ batch: MicroBatch) -> [NamedTensor] {
    let depths = model.depths
    let tape = Tape(on: model.device, isRecording: gradients)
    let context = ForwardContext(
      tape: tape, sequences: batch.sequences, length: batch.length, table: model.rotaryTable(batch.length))
    let objective = Objective(
      validLabels: batch.validLabels(depths: depths), multiTokenWeight: multiTokenWeight ?? 0)
    let (roots, sums, hidden) = model.losses(batch, objective, context)
    let means = zip(sums.tokens, objective.validLabels).map { $0 / Double($1) }
    let logits = model.logits(hidden[0])
    var results = [
      NamedTensor(
        name: "logits",
        tensor: logits.reshaped([batch.sequences, batch.length, model.configuration.vocabSize])),
      scalar("loss", means[0]),
    ]
    if depths > 0 { results.append(scalar("loss_mtp", means.dropFirst().reduce(0, +) / Double(depths))) }
    results += context.routing.flatMap { routing($0, batch) }
    guard gradients else { return results }
    tape.backward(from: roots.map { ($0, Tensor([1], [1 as Float], on: model.device)) })
    return results
      + model.parameters.flatMap { parameter in
        parameter.parts.map { NamedTensor(name: "grad.\($0.name)", tensor: parameter.gradient(of: $0)) }
      }
  }

  private func scalar(_ name: String, _ value: Double) -> NamedTensor {
    NamedTensor(name: name, tensor: Tensor([1], [Float(value)], on: model.device))
  }

  /// Experts in ascending order and their weights, `[rows, K]`. A module's rows whose token ahead does not exist
  /// were computed in vain; they are left out.
  private func routing(_ routing: LayerRouting, _ batch: MicroBatch) -> [NamedTensor] {
    let (indices, weights) = routing.selection.sortedByExpert()
    let selected = routing.selection.indices.columns
    let depth = max(0, routing.layer - model.configuration.numHiddenLayers + 1)
    let slots = (0..<indices.count).filter { $0 / selected % batch.length < batch.length - depth }
    let shape = [slots.count / selected, selected]
    let prefix = "routing.\(routing.layer)"
    return [
      NamedTensor(
        name: "\(prefix).indices", tensor: Tensor(shape, slots.map { indices[$0] }, on: model.device)),
      NamedTensor(
        name: "\(prefix).weights", tensor: Tensor(shape, slots.map { weights[$0] }, on: model.device)),
    ]
  }
}
