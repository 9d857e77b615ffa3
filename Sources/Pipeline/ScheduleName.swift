/// The schedules that are generated, under the names that users give.
package enum ScheduleName: String, CaseIterable, Sendable {
  case gpipe
  case oneForwardOneBackward = "1f1b"
  case interleaved
  case zeroBubble = "zb1p"
  case dualPipe = "dualpipe"
  case dualPipeV = "dualpipev"

  /// For messages.
  package static var list: String { allCases.map(\.rawValue).joined(separator: ", ") }
}

extension Schedule {
  /// Virtual stages of `interleaved` where none are given.
  package static let defaultVirtualStages = 2

  /// Micro-batches times places that they pass: many more would not fit in the memory of small machines.
  static let maximumCells = 1 << 22

  /// A schedule by the name that a user gives: one of ``ScheduleName``, or the path of a file.
  ///
  /// - Parameters:
  ///   - name: a path if it has a `/` or ends in `.schedule`.
  ///   - ranks: for a file only if its header must say the same, as `microbatches`.
  ///   - virtualStages: stages of a rank, for `interleaved` only.
  /// - Throws: ``ScheduleError`` if there is no such schedule, or not for these numbers. A file is verified.
  package static func named(
    _ name: String, ranks: Int?, microbatches: Int?, virtualStages: Int? = nil
  ) throws(ScheduleError) -> Schedule {
    if isPath(name) {
      if let virtualStages { throw refusal(of: virtualStages, for: name) }
      return try read(path: name).checked(ranks: ranks, microbatches: microbatches)
    }
    guard let known = ScheduleName(rawValue: name) else { throw .unknownName(name) }
    if let virtualStages, known != .interleaved { throw refusal(of: virtualStages, for: name) }
    guard let ranks, let microbatches else {
      throw .unfit(
        schedule: name, reason: "needs the numbers of ranks and micro-batches: only a file states them")
    }
    let stages = virtualStages ?? (known == .interleaved ? defaultVirtualStages : 1)
    try checkSize(name, ranks: ranks, microbatches: microbatches, virtualStages: stages)
    switch known {
    case .gpipe: return try gpipe(ranks: ranks, microbatches: microbatches)
    case .oneForwardOneBackward: return try oneForwardOneBackward(ranks: ranks, microbatches: microbatches)
    case .interleaved:
      return try interleaved(ranks: ranks, microbatches: microbatches, virtualStages: stages)
    case .zeroBubble: return try zeroBubble(ranks: ranks, microbatches: microbatches)
    case .dualPipe: return try dualPipe(ranks: ranks, microbatches: microbatches)
    case .dualPipeV: return try dualPipeV(ranks: ranks, microbatches: microbatches)
    }
  }

  /// Whether the text names a file and not a generated schedule.
  package static func isPath(_ name: String) -> Bool { name.contains("/") || name.hasSuffix(".schedule") }

  /// For a schedule from a file: numbers that are asked for must be those of its header.
  private func checked(ranks: Int?, microbatches: Int?) throws(ScheduleError) -> Schedule {
    for (what, own, asked) in [
      ("ranks", self.ranks, ranks), ("micro-batches", self.microbatches, microbatches),
    ] {
      guard let asked, asked != own else { continue }
      throw .unfit(schedule: name, reason: "the file has \(own) \(what), but \(asked) are asked for")
    }
    return self
  }

  private static func refusal(of virtualStages: Int, for name: String) -> ScheduleError {
    .unfit(
      schedule: name, reason: "\(virtualStages) virtual stages are given, and only interleaved takes them")
  }

  private static func checkSize(
    _ name: String, ranks: Int, microbatches: Int, virtualStages: Int
  ) throws(ScheduleError) {
    for (what, count) in [
      ("ranks", ranks), ("micro-batches", microbatches), ("virtual stages", virtualStages),
    ] where count < 1 {
      throw .unfit(schedule: name, reason: "\(count) \(what): there must be at least 1")
    }
    let sizes = [ranks, microbatches, virtualStages]
    let cells = sizes.reduce(1) { $0 > maximumCells ? $0 : $0 * min($1, 1 << 30) }
    guard cells <= maximumCells else {
      throw .unfit(
        schedule: name,
        reason:
          "\(ranks) ranks x \(microbatches) micro-batches x \(virtualStages) virtual stages are "
          + "more than \(maximumCells) cells: take fewer")
    }
  }
}
