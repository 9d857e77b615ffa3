extension Schedule {
  /// Plays the schedule on a machine with these costs.
  ///
  /// A rank begins an action when the one before it in its lane has ended and all its messages are there; it
  /// never chooses another. Messages leave when their action ends and cost the ranks nothing; on a link, which
  /// goes one way, they follow one another. Equal inputs give equal bits.
  ///
  /// - Throws: ``ScheduleError``: what ``verify()`` finds, or costs that do not fit.
  package func simulate(_ costs: Costs = Costs()) throws(ScheduleError) -> Timeline {
    if let reason = costs.fault(stages: placement.stages, ranks: ranks) {
      throw .unfit(schedule: name, reason: reason)
    }
    let index = try verifiedIndex()
    var simulation = Simulation(self, costs)
    simulation.run()
    guard simulation.timeline.makespan.isFinite else {
      throw .unfit(schedule: name, reason: "with such costs its time is beyond the range of numbers")
    }
    simulation.timeline.findCriticalPath(index)
    return simulation.timeline
  }
}

/// A machine at work on a schedule that is known to come to its end.
private struct Simulation {
  /// Where a place sends results of one kind.
  struct Way {
    var place: Place
    /// Into `linkFree`; nil on the same rank.
    var link: Int?
    /// Seconds that a message occupies the link, and then travels.
    var occupation = 0.0
    var latency = 0.0
  }

  let schedule: Schedule
  let costs: Costs
  var timeline: Timeline
  private var clock: SharedClock
  /// Ends of actions, by work; the payload is a rank.
  private var ends = EventQueue<Int>()
  /// Arrivals, by time; the payload is the rank that may be waiting for it.
  private var arrivals = EventQueue<Int>()
  /// By kind and place; nil where nothing is sent.
  private var ways: [[Way?]]
  private var linkFree: [Double] = []
  /// By kind, place and micro-batch: when the message is there; infinite while that is not known.
  private var arrivalTimes: [[Double]]
  private var positions: [Int]
  private var isRunning: [Bool]
  private var running = 0
  private var live: [Int]
  private var liveBytes: [Double]

  init(_ schedule: Schedule, _ costs: Costs) {
    (self.schedule, self.costs) = (schedule, costs)
    let ranks = schedule.ranks
    timeline = Timeline(ranks: ranks)
    clock = SharedClock(processors: costs.processors)
    positions = Array(repeating: 0, count: ranks)
    (live, isRunning) = (positions, Array(repeating: false, count: ranks))
    liveBytes = Array(repeating: 0, count: ranks)
    (ways, arrivalTimes) = ([[], []], [[], []])
    let places = (0..<ranks).flatMap { rank in
      (0..<schedule.placement.slots).map { Place(rank: rank, slot: $0) }
    }
    var links: [Link.Ends: Int] = [:]
    for place in places {
      let (before, after) = (schedule.placement.place(before: place), schedule.placement.place(after: place))
      // Where a route begins or ends, what an action needs is there from the beginning.
      for (kind, source, target) in [(0, before, after), (1, after, before)] {
        ways[kind].append(target.map { Self.way(from: place, to: $0, costs, &links) })
        let time = source == nil ? 0 : Double.infinity
        arrivalTimes[kind] += Array(repeating: time, count: schedule.microbatchesPerRoute)
      }
    }
    linkFree = Array(repeating: 0, count: links.count)
  }

  private static func way(
    from place: Place, to target: Place, _ costs: Costs, _ links: inout [Link.Ends: Int]
  ) -> Way {
    guard target.rank != place.rank else { return Way(place: target) }
    let ends = Link.Ends(from: place.rank, to: target.rank)
    let number = links[ends] ?? links.count
    links[ends] = number
    let link = costs.links[ends] ?? costs.link
    return Way(
      place: target, link: number, occupation: costs.messageBytes / link.bandwidth, latency: link.latency)
  }

  mutating func run() {
    for rank in 0..<schedule.ranks { startNext(rank) }
    while true {
      let end = ends.firstTime.map { clock.time(atWork: $0) } ?? .infinity
      if let arrival = arrivals.firstTime, arrival <= end {
        clock.advance(toTime: arrival)
        startNext(arrivals.removeFirst())
      } else if let work = ends.firstTime {
        clock.advance(toWork: work)
        finish(ends.removeFirst())
      } else {
        break
      }
    }
    timeline.makespan = clock.time
  }

  /// Begins the rank's next action, if it may.
  private mutating func startNext(_ rank: Int) {
    guard !isRunning[rank], positions[rank] < schedule.lanes[rank].count else { return }
    let action = schedule.lanes[rank][positions[rank]]
    let activation = action.forwardCell.map { arrivalTimes[0][entry($0, rank)] } ?? 0
    let gradient = action.gradientCell.map { arrivalTimes[1][entry($0, rank)] } ?? 0
    guard max(activation, gradient) <= clock.time else { return }
    let wait = clock.time - (timeline.spans[rank].last?.end ?? 0)
    let awaited: Message.Kind? = wait == 0 ? nil : activation > gradient ? .activation : .gradient
    if awaited == .activation { timeline.activationWait[rank] += wait }
    if awaited == .gradient { timeline.gradientWait[rank] += wait }
    timeline.spans[rank].append(.init(start: clock.time, end: clock.time, awaited: awaited))
    if let cell = action.forwardCell { keep(cell, rank) }
    isRunning[rank] = true
    running += 1
    clock.setTasks(running)
    let seconds = costs.seconds(action, on: rank, in: schedule.placement)
    ends.add(rank, at: clock.work + seconds)
  }

  private mutating func finish(_ rank: Int) {
    let index = positions[rank]
    let action = schedule.lanes[rank][index]
    timeline.spans[rank][index].end = clock.time
    timeline.busy[rank] += clock.time - timeline.spans[rank][index].start
    if let cell = action.forwardCell { send(0, cell, rank) }
    if let cell = action.gradientCell { send(1, cell, rank) }
    if let cell = action.weightCell { release(cell, rank) }
    positions[rank] += 1
    isRunning[rank] = false
    running -= 1
    clock.setTasks(running)
    startNext(rank)
  }

  private mutating func send(_ kind: Int, _ cell: Cell, _ rank: Int) {
    let place = Place(rank: rank, slot: cell.slot)
    guard let way = ways[kind][schedule.placement.index(of: place)] else { return }
    let target = entry(Cell(slot: way.place.slot, microbatch: cell.microbatch), way.place.rank)
    guard let link = way.link else {
      arrivalTimes[kind][target] = clock.time
      return
    }
    linkFree[link] = max(linkFree[link], clock.time) + way.occupation
    arrivalTimes[kind][target] = linkFree[link] + way.latency
    arrivals.add(way.place.rank, at: linkFree[link] + way.latency)
  }

  private mutating func keep(_ cell: Cell, _ rank: Int) {
    live[rank] += 1
    liveBytes[rank] += activationBytes(cell, rank)
    timeline.peakActivations[rank] = max(timeline.peakActivations[rank], live[rank])
    timeline.peakActivationBytes[rank] = max(timeline.peakActivationBytes[rank], liveBytes[rank])
  }

  private mutating func release(_ cell: Cell, _ rank: Int) {
    live[rank] -= 1
    liveBytes[rank] -= activationBytes(cell, rank)
  }

  private func activationBytes(_ cell: Cell, _ rank: Int) -> Double {
    costs.activationBytes[schedule.placement.stage(at: Place(rank: rank, slot: cell.slot))]
  }

  private func entry(_ cell: Cell, _ rank: Int) -> Int {
    let place = schedule.placement.index(of: Place(rank: rank, slot: cell.slot))
    return place * schedule.microbatchesPerRoute + cell.microbatch
  }
}
