package import Checkpoint

/// Where a run stands, beside its tensors.
package struct RunState: Sendable, Equatable {
  /// Optimizer steps done, those that were skipped included.
  package var step = 0
  /// Steps that made no update: the optimizer's own count is `step - skippedSteps`.
  package var skippedSteps = 0
  /// Tokens trained on, those of skipped steps included.
  package var tokens = 0
  /// The global index of the first sample that was not trained on.
  package var nextSample = 0
  package var nonFinite = BadSteps()
  package var lossSpikes = BadSteps()
  /// Before the next step, where spikes are looked for.
  package var lossLevel = LossLevel()
  /// Layers whose FP8 matrices are multiplied in bfloat16, as they passed a limit.
  package var fallenBackLayers: Set<Int> = []

  package init() {}

  private static let fallenBackKey = "fp8.fallen_back"

  /// What a manifest has no field for, under the names that a checkpoint's `state` has.
  private static var counters: [(key: String, path: WritableKeyPath<RunState, Int>)] {
    [
      ("steps.skipped", \.skippedSteps), ("non_finite.steps", \.nonFinite.total),
      ("non_finite.in_a_row", \.nonFinite.inARow), ("non_finite.furthest", \.nonFinite.furthest),
    ]
  }

  /// Of a run that looks for spikes of the loss.
  private static var spikeCounters: [(key: String, path: WritableKeyPath<RunState, Int>)] {
    [
      ("loss_spike.steps", \.lossSpikes.total), ("loss_spike.in_a_row", \.lossSpikes.inARow),
      ("loss_spike.furthest", \.lossSpikes.furthest), ("loss_spike.losses", \.lossLevel.losses),
    ]
  }

  private static var spikeNumbers: [(key: String, path: WritableKeyPath<RunState, Double>)] {
    [("loss_spike.mean", \.lossLevel.mean), ("loss_spike.variance", \.lossLevel.variance)]
  }

  var values: [String: StateValue] {
    var values: [String: StateValue] = [:]
    for (key, place) in Self.counters { values[key] = .integer(self[keyPath: place]) }
    if lossSpikes != BadSteps() || lossLevel != LossLevel() {
      for (key, place) in Self.spikeCounters { values[key] = .integer(self[keyPath: place]) }
      for (key, place) in Self.spikeNumbers { values[key] = .number(self[keyPath: place]) }
    }
    if !fallenBackLayers.isEmpty {
      values[Self.fallenBackKey] = .string(fallenBackLayers.sorted().map(String.init).joined(separator: ","))
    }
    return values
  }

  /// The layers that had fallen back when a checkpoint was saved.
  /// - Throws: `CheckpointError` when they are no list of natural numbers.
  package static func fallenBackLayers(
    in manifest: Manifest, path: String
  ) throws(CheckpointError) -> Set<Int> {
    guard let value = manifest.state[fallenBackKey] else { return [] }
    if case .string(let text) = value {
      let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? -1 }
      if numbers.allSatisfy({ $0 >= 0 }) { return Set(numbers) }
    }
    throw CheckpointError(
      .malformed, path: path,
      "the state \(fallenBackKey) should be numbers of layers with commas, but is \(value.text)")
  }

  /// - Throws: `CheckpointError` when a counter is no natural number, or more steps were skipped than done.
  init(_ manifest: Manifest, path: String) throws(CheckpointError) {
    (step, tokens, nextSample) = (manifest.step, manifest.tokens, manifest.nextSample)
    for (key, place) in Self.counters + Self.spikeCounters {
      switch manifest.state[key] {
      case .integer(let count) where count >= 0: self[keyPath: place] = count
      // Checkpoints of earlier versions, whose runs stopped at the first such step or looked for no spikes.
      case nil: self[keyPath: place] = 0
      case let value?:
        throw CheckpointError(
          .malformed, path: path, "the state \(key) should be a count, but is \(value.text)")
      }
    }
    for (key, place) in Self.spikeNumbers {
      switch manifest.state[key] {
      case .number(let value) where value >= 0: self[keyPath: place] = value
      case .integer(let value) where value >= 0: self[keyPath: place] = Double(value)
      case nil: self[keyPath: place] = 0
      case let value?:
        throw CheckpointError(
          .malformed, path: path, "the state \(key) should be a number from 0 on, but is \(value.text)")
      }
    }
    fallenBackLayers = try Self.fallenBackLayers(in: manifest, path: path)
    guard skippedSteps <= step else {
      throw CheckpointError(
        .malformed, path: path, "the state steps.skipped is \(skippedSteps), after \(step) steps")
    }
  }
}
