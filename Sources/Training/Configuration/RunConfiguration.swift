package import Model
package import Optimization

/// Everything that a training run is configured by.
package struct RunConfiguration: Sendable, Hashable {
  package var model = ModelSection()
  package var data = DataSection()
  package var training = TrainingSection()
  package var optimizer = OptimizerSection()
  package var learningRate = LearningRateSection()
  package var precision = PrecisionSection()
  package var parallel = ParallelSection()
  package var communication = CommunicationSection()
  package var checkpoint = CheckpointSection()
  package var evaluation = EvaluationSection()
  package var logging = LoggingSection()
  package var run = RunSection()

  package init() {}

  /// Reads a file and applies the `--set` options to it.
  ///
  /// - Throws: every fault at once, each with its file and line or its option.
  package static func load(
    path: String, overrides: [String] = []
  ) throws(ConfigurationError) -> RunConfiguration {
    let node = try ConfigurationReader.read(path: path)
    var configuration = try parse(node, overrides: overrides)
    if configuration.run.name == nil { configuration.run.name = fileStem(path) }
    return configuration
  }

  /// Reads a text and applies the `--set` options to it; `load` without the file.
  package static func parse(
    yaml: String, source: String, overrides: [String] = []
  ) throws(ConfigurationError) -> RunConfiguration {
    try parse(ConfigurationReader.parse(yaml, source: source), overrides: overrides)
  }

  private static func parse(
    _ node: ConfigurationNode, overrides: [String]
  ) throws(ConfigurationError) -> RunConfiguration {
    var node = node
    guard node.entries != nil else {
      throw ConfigurationError(at: node.location, "expected sections with keys, found \(node.found)")
    }
    let overrideFaults = ConfigurationOverride.apply(overrides, to: &node)
    var reading = ConfigurationReading(rows: schema.referenceRows)
    let configuration = schema.read(node, &reading)
    let faults = overrideFaults + reading.faults
    guard let configuration, faults.isEmpty else { throw ConfigurationError(faults: faults) }
    return configuration
  }

  /// The whole configuration, defaults included, as YAML that reads back to an equal value.
  package func yaml() -> String { ConfigurationText.yaml(node) }

  /// The same before it becomes text.
  var node: ConfigurationNode { Self.schema.write(self) }

  private static func fileStem(_ path: String) -> String {
    let name = path.split(separator: "/").last ?? ""
    return name.lastIndex(of: ".").map { String(name[..<$0]) } ?? String(name)
  }
}

extension RunConfiguration {
  /// Where the run keeps its files.
  package var runDirectory: String { run.name.map { "\(run.directory)/\($0)" } ?? run.directory }

  /// Where checkpoints are kept.
  package var checkpointDirectory: String { checkpoint.directory ?? "\(runDirectory)/checkpoints" }

  /// Turns steps into tokens.
  /// - Parameter shares: a step has a multiple of so many micro-batches: of data-parallel ranks, times the schedule's.
  package func clock(shares: Int = 1) -> TrainingClock {
    TrainingClock(
      batch: training.globalBatchSize, multiple: training.microBatchSize * shares,
      sequenceLength: training.sequenceLength)
  }

  /// The learning rate, resolved to the batch sizes of this run.
  package func learningRateSchedule(shares: Int = 1) -> LearningRateSchedule {
    LearningRateSchedule(
      phases: learningRate.phases, clock: clock(shares: shares), runEnd: end(shares: shares))
  }

  /// Where the run ends: at `training.steps` or at `training.tokens`, whichever comes first.
  package func end(shares: Int = 1) -> LearningRateSchedule.End {
    switch (training.steps, training.tokens) {
    case (let steps?, nil): .step(steps)
    case (nil, let tokens?): .tokens(tokens)
    case (let steps?, let tokens?):
      clock(shares: shares).steps(reaching: tokens) < steps ? .tokens(tokens) : .step(steps)
    case (nil, nil): preconditionFailure("a run configuration names steps or tokens; validation saw to it")
    }
  }

  /// What is wrong with the ends of the learning-rate phases, or nil: each must have an update of its own.
  ///
  /// The section itself compares neighbors of one unit; across units it takes the batch sizes of the run. A last
  /// phase may end after the run.
  var faultOfPhaseEnds: String? {
    let clock = clock()
    let ends = learningRate.phases.compactMap(\.end)
    let updates = ends.map { clock.lastStep(until: $0) }
    for index in ends.indices.dropFirst() where updates[index] <= updates[index - 1] {
      return
        "phases.\(index) would have no update: it ends at \(ends[index]), after update \(updates[index]); "
        + "phases.\(index - 1) ends at \(ends[index - 1]), after update \(updates[index - 1])"
    }
    return updates.first == 0
      ? "phases.0 would have no update: it ends at \(ends[0]), and the first update has "
        + "\(clock.tokens(afterSteps: 1)) tokens" : nil
  }

  /// The steps of the whole run.
  package func totalSteps(shares: Int = 1) -> Int {
    switch end(shares: shares) {
    case .step(let steps): steps
    case .tokens(let tokens): clock(shares: shares).steps(reaching: tokens)
    }
  }
}

extension RunConfiguration {
  /// Why this many ranks cannot share a batch equally; nil if they can.
  package func faultOfBatch(dataRanks: Int) -> String? {
    let multiple = training.microBatchSize * dataRanks
    let sizes = [training.globalBatchSize.from, training.globalBatchSize.to]
    guard let size = sizes.first(where: { !$0.isMultiple(of: multiple) }) else { return nil }
    return
      "training.global_batch_size (\(size)) must be a multiple of training.micro_batch_size × data ranks "
      + "(\(training.microBatchSize) × \(dataRanks))"
  }
}
