package import Model
internal import Optimization
package import Parallel
package import Pipeline

/// The pipeline that a configuration asks for: the schedule, and what of the model lies where.
package struct PipelinePlan: Sendable {
  package let layout: PipelineLayout
  /// Micro-batches of a step are a multiple of this.
  package let multiple: Int
  private let name: String
  private let virtualStages: Int?
  /// Those that were made when the run began, by micro-batches: of a file, all that there are.
  private let known: [Int: Schedule]

  /// What does not fit, in words for a person.
  package struct Faults: Error { package let texts: [String] }

  /// - Parameters:
  ///   - model: with its vocabulary.
  ///   - data: data-parallel ranks.
  /// - Throws: everything that does not fit.
  package init(
    _ configuration: RunConfiguration, _ model: ModelConfiguration, ranks: Int, data: Int
  ) throws(Faults) {
    let section = configuration.parallel
    let batch = configuration.training.globalBatchSize
    let share = configuration.training.microBatchSize * data
    let counts = [batch.from / share, batch.to / share]
    let isEven = ranks.isMultiple(of: 2) && counts.allSatisfy { $0.isMultiple(of: 2) && $0 >= 2 * ranks }
    name = section.schedule ?? (isEven ? ScheduleName.dualPipe : .oneForwardOneBackward).rawValue
    virtualStages = section.virtualStages
    multiple =
      switch ScheduleName(rawValue: name) {
      case .dualPipe: 2
      default: 1
      }
    var faults: [String] = []
    var known: [Int: Schedule] = [:]
    for count in Set(counts).sorted() {
      do {
        known[count] = try .named(
          name, ranks: ranks, microbatches: count, virtualStages: virtualStages)
      } catch {
        faults.append(
          "parallel.schedule: \(error) (\(count) micro-batches of a step are training.global_batch_size / "
            + "(training.micro_batch_size × data ranks))")
      }
    }
    self.known = known
    guard let placement = known.first?.value.placement, faults.isEmpty else { throw Faults(texts: faults) }
    do {
      let stages =
        try section.stages.map { text throws(StageLayout.Fault) in try StageLayout(text, of: model) }
        ?? StageLayout(
          stages: placement.stages, of: model, tokens: configuration.training.sequenceLength)
      guard stages.stages.count == placement.stages else {
        throw StageLayout.Fault(
          description: "\(stages): \(stages.stages.count) stages, but \(name) on \(ranks) ranks has "
            + "\(placement.stages)")
      }
      layout = PipelineLayout(placement, stages.stages)
    } catch {
      throw Faults(texts: ["parallel.stages: \(error)"])
    }
  }

  /// The schedules of a file in a few words, the same for equal ones; nil where the schedule is generated.
  var fingerprint: String? {
    guard Schedule.isPath(name) else { return nil }
    let texts = known.sorted { $0.key < $1.key }.map(\.value.fileText)
    return "check sum \(String(CRC32C().checksum(texts.joined().utf8), radix: 16))"
  }

  /// What is wrong with the schedules that ranks have read; nil if they are equal.
  /// - Parameters:
  ///   - fingerprints: by rank.
  ///   - hosts: by rank.
  func fault(of fingerprints: [String], hosts: [String]) -> String? {
    guard let other = fingerprints.firstIndex(where: { $0 != fingerprints[0] }) else { return nil }
    return
      "parallel.schedule: \(name) on rank \(other) (\(hosts[other]), \(fingerprints[other])) is another schedule than on "
      + "rank 0 (\(hosts[0]), \(fingerprints[0])): name a file that all nodes share, or copy it to each"
  }

  /// The schedule of a step.
  package func schedule(microbatches: Int) -> Schedule {
    if let schedule = known[microbatches] { return schedule }
    let ranks = layout.placement.ranks
    do {
      return try .named(name, ranks: ranks, microbatches: microbatches, virtualStages: virtualStages)
    } catch {
      preconditionFailure("\(name) for \(microbatches) micro-batches, between two that fit: \(error)")
    }
  }
}
