@testable import Pipeline

/// Says whether a schedule does all the work and comes to its end, by trying: it knows only the routes.
struct SlowExecutor {
  private struct Work: Hashable { var what: Character, place: Place, microbatch: Int }

  private let schedule: Schedule
  private var done: Set<Work> = []

  private init(schedule: Schedule) { self.schedule = schedule }

  /// True if every action could be done, and everything was done once.
  static func succeeds(_ schedule: Schedule) -> Bool {
    var executor = SlowExecutor(schedule: schedule)
    return executor.run()
  }

  private mutating func run() -> Bool {
    var rest = schedule.lanes.map { ArraySlice($0) }
    var progress = true
    while progress {
      progress = false
      for rank in rest.indices {
        guard let action = rest[rank].first else { continue }
        let (needs, gives) = work(action, rank)
        if !needs.allSatisfy(done.contains) { continue }
        for work in gives where !done.insert(work).inserted { return false }
        rest[rank].removeFirst()
        progress = true
      }
    }
    return rest.allSatisfy(\.isEmpty) && done == everything
  }

  private var everything: Set<Work> {
    var all: Set<Work> = []
    for place in schedule.placement.routes.joined() {
      for microbatch in 0..<schedule.microbatches / schedule.placement.routes.count {
        for what in "FIW" { all.insert(Work(what: what, place: place, microbatch: microbatch)) }
      }
    }
    return all
  }

  private func work(_ action: Action, _ rank: Int) -> (needs: [Work], gives: [Work]) {
    var (needs, gives): ([Work], [Work]) = ([], [])
    // A token at a time, so that nothing of the package's own views of actions is used.
    for token in action.description.split(separator: "&") {
      let numbers = token.dropFirst().split(separator: ".").compactMap { Int($0) }
      let place = Place(rank: rank, slot: numbers[0])
      func item(_ what: Character, _ place: Place) -> Work {
        Work(what: what, place: place, microbatch: numbers[1])
      }
      let route = schedule.placement.routes.first { $0.contains(place) } ?? []
      let stage = route.firstIndex(of: place) ?? 0
      switch token.first {
      case "F":
        if stage > 0 { needs.append(item("F", route[stage - 1])) }
        gives.append(item("F", place))
      case "W":
        needs.append(item("I", place))
        gives.append(item("W", place))
      default:
        needs.append(item("F", place))
        if stage + 1 < route.count { needs.append(item("I", route[stage + 1])) }
        gives.append(item("I", place))
        if token.first == "B" { gives.append(item("W", place)) }
      }
    }
    return (needs, gives)
  }
}
