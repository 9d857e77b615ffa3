internal import Model
internal import Optimization

/// The settings of a run that are not those of the checkpoint it goes on from, where they change what follows.
package struct ResumeDifferences: Equatable, Sendable {
  /// The steps that follow are others.
  package private(set) var changing: [String] = []
  /// Sums are formed in another order: losses differ by rounding.
  package private(set) var rounding: [String] = []

  /// Settings, and sections of them, that change no number: where files go, what is shown, how the machine is used. What
  /// `data` and the seed come to, `DataIdentity` compares.
  private static let without: Set<String> = [
    "data", "communication", "checkpoint", "evaluation", "logging", "run", "training.seed",
    "training.recompute",
    "training.packed_weights", "training.threads", "parallel.overlap",
  ]
  /// What only divides the work.
  private static let ofOrder: Set<String> = [
    "training.micro_batch_size", "parallel.pipeline", "parallel.schedule", "parallel.stages",
    "parallel.virtual_stages", "parallel.expert", "parallel.data", "parallel.exchange",
    "parallel.exchange_rows",
  ]

  package init(from saved: RunConfiguration, to now: RunConfiguration) {
    let (old, new) = (Self.values(of: saved), Self.values(of: now))
    let usesEnd = saved.learningRate.endsWithTheRun || now.learningRate.endsWithTheRun
    for key in Set(old.keys).union(new.keys).sorted() where old[key] != new[key] {
      if Self.without.contains(where: { key == $0 || key.hasPrefix("\($0).") }) { continue }
      if ["training.steps", "training.tokens"].contains(key), !usesEnd { continue }
      let text = "\(key) was \(old[key] ?? "absent"), is \(new[key] ?? "absent")"
      if Self.ofOrder.contains(key) { rounding.append(text) } else { changing.append(text) }
    }
  }

  /// Every value that is no section, under its key with dots.
  private static func values(of configuration: RunConfiguration) -> [String: String] {
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
