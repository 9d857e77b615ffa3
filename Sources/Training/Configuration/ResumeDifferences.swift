internal import Model
internal import Optimization

/// The settings of a run that are not those of the checkpoint it goes on from, where they matter.
///
/// Where and how files are kept, what is shown and how a machine is used does not: `changingNothing`. What `data`, the seed
/// and the length of a row come to, `DataIdentity` compares.
package struct ResumeDifferences: Equatable, Sendable {
  /// The steps that follow are others.
  package private(set) var changing: [String] = []
  /// Sums are formed in another order: losses differ by rounding.
  package private(set) var rounding: [String] = []
  /// What is done about a step that is not finite, or whose loss stands out.
  package private(set) var badSteps: [String] = []

  static let changingNothing: Set<String> = [
    "data", "communication", "checkpoint", "evaluation", "logging", "run", "training.seed",
    "training.sequence_length", "training.recompute", "training.packed_weights", "training.threads",
    "parallel.overlap",
  ]
  /// What only divides the work.
  static let dividing: Set<String> = [
    "parallel.stages", "parallel.virtual_stages", "parallel.expert", "parallel.exchange",
    "parallel.exchange_rows",
  ]
  /// What divides the batch, whose size is a multiple of the parts: while it grows, steps have other sizes.
  static let dividingTheBatch: Set<String> = [
    "training.micro_batch_size", "parallel.pipeline", "parallel.schedule", "parallel.data",
  ]
  static let handlingBadSteps: Set<String> = [
    "training.non_finite", "training.non_finite_limit", "training.loss_spike",
  ]
  /// Where a run that rolls back goes back to.
  static let placingCheckpoints: Set<String> = [
    "checkpoint.every", "checkpoint.on_exit", "checkpoint.when_busy",
  ]
  /// What only looks at FP8, unless a layer may leave it.
  static let watchingFloat8: Set<String> = [
    "precision.fp8.health_every", "precision.fp8.fall_back", "precision.fp8.flushed_limit",
    "precision.fp8.shadow_limit",
  ]
  static let length: Set<String> = ["training.steps", "training.tokens"]

  /// - Parameter ranks: that saved it, if that is known, and that go on.
  package init(from saved: RunConfiguration, to now: RunConfiguration, ranks: (saved: Int?, now: Int)) {
    let both = [saved, now]
    let (old, new) = (Self.values(of: saved), Self.values(of: now))
    let grows = both.contains { !$0.training.globalBatchSize.isConstant }
    let rollsBack = both.contains { $0.rollsBack }
    if let before = ranks.saved, before != ranks.now {
      let text = "ranks was \(before), is \(ranks.now)"
      if grows { changing.append(text) } else { rounding.append(text) }
    }
    for key in Set(old.keys).union(new.keys).sorted() where old[key] != new[key] {
      let text = "\(key) was \(old[key] ?? "absent"), is \(new[key] ?? "absent")"
      let isIn = { (keys: Set<String>) in keys.contains { key == $0 || key.hasPrefix("\($0).") } }
      if isIn(Self.handlingBadSteps) || rollsBack && isIn(Self.placingCheckpoints) {
        badSteps.append(text)
      } else if isIn(Self.dividing) || !grows && isIn(Self.dividingTheBatch) {
        rounding.append(text)
      } else if isIn(Self.changingNothing)
        || isIn(Self.watchingFloat8) && !both.contains(where: \.precision.fallsBack)
        || isIn(Self.length) && !both.contains(where: \.learningRate.endsWithTheRun)
      {
        continue
      } else {
        changing.append(text)
      }
    }
  }

  /// What a person should know, a line each.
  var notes: [String] {
    [
      ("settings that change what follows", changing),
      ("settings that change the order of sums, so that losses differ by rounding", rounding),
      ("settings that matter when a step is not finite or its loss stands out", badSteps),
    ].compactMap { words, list in list.isEmpty ? nil : "\(words): \(list.joined(separator: "; "))" }
  }

  /// Every value that is no section, under its key with dots.
  static func values(of configuration: RunConfiguration) -> [String: String] {
    var values: [String: String] = [:]
    func add(_ node: ConfigurationNode, _ key: String) {
      guard let entries = node.entries, !entries.isEmpty else {
        values[key] = ConfigurationText.inline(node)
        return
      }
      for entry in entries { add(entry.value, key.isEmpty ? entry.key : "\(key).\(entry.key)") }
    }
    add(configuration.node, "")
    return values
  }
}

extension LearningRateSection {
  /// Whether the rate of a step depends on how long the run is.
  fileprivate var endsWithTheRun: Bool {
    phases.last.map { $0.end == nil && $0.shape != .constant } ?? false
  }
}

extension RunConfiguration {
  fileprivate var rollsBack: Bool {
    training.nonFinite == .rollBack || training.lossSpike.action == .rollBack
  }
}
