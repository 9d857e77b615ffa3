/// What a user can get wrong with a schedule.
package enum ScheduleError: Error, Hashable, Sendable {
  /// No schedule has this name.
  case unknownName(String)
  /// Ranks, micro-batches, stages or costs do not fit.
  case unfit(schedule: String, reason: String)
  /// A file that cannot be read as text.
  case unreadable(path: String, reason: String)
  /// A file that can be read, but not as a schedule. Line and column count from 1.
  case malformed(path: String, line: Int, column: Int, reason: String)
  /// An action that is wrong, or is missing.
  case fault(ScheduleFault)
  /// Ranks that wait for each other, in the order in which they do; the last waits for the first.
  case deadlock(schedule: String, cycle: [ScheduleWait])
}

/// Where a schedule is wrong. Indices in lanes count from 0.
package struct ScheduleFault: Hashable, Sendable {
  package var schedule: String
  package var rank: Int
  /// In the rank's lane; its length where something is missing that no action waits for.
  package var index: Int
  /// At that index; nil at the lane's end.
  package var action: Action?
  /// What is wrong, or what the action waits for.
  package var reason: String
}

/// A rank that cannot go on, and what it waits for.
package struct ScheduleWait: Hashable, Sendable {
  package var rank: Int
  package var index: Int
  package var action: Action
  /// What it waits for; nil where that is a result of its own rank.
  package var message: Message?
  /// The action that has to be done first, and where it is.
  package var awaited: Action
  package var awaitedRank: Int
  package var awaitedIndex: Int
}

extension ScheduleError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .unknownName(let name):
      "'\(name)' is no schedule; take one of \(ScheduleName.list), or the path of a .schedule file"
    case .unfit(let schedule, let reason): "schedule \(schedule): \(reason)"
    case .unreadable(let path, let reason): "\(path): \(reason)"
    case .malformed(let path, let line, let column, let reason): "\(path):\(line):\(column): \(reason)"
    case .fault(let fault): "\(fault)"
    case .deadlock(let schedule, let cycle):
      "schedule \(schedule): ranks wait for each other:" + cycle.map { "\n\($0)" }.joined()
    }
  }
}

extension ScheduleFault: CustomStringConvertible {
  package var description: String {
    "schedule \(schedule): \(place)\(reason)"
  }

  /// For the head of a message.
  var place: String { "rank \(rank), index \(index) (\(action.map { "\($0)" } ?? "end")): " }
}

extension ScheduleWait: CustomStringConvertible {
  package var description: String {
    let place = "\(awaited) at index \(awaitedIndex) of rank \(awaitedRank)"
    let what = message.map { "the \($0), which is sent by \(place)" } ?? place
    return "rank \(rank), index \(index) (\(action)): awaits \(what)"
  }
}
