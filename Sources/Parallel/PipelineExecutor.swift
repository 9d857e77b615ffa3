package import Communication
package import Pipeline
internal import Tensors

/// Runs one rank's lane of any schedule: it knows actions, places and messages, and no schedule by its name.
///
/// Receives are posted ahead and matched by name, sends are waited for at the end, so a schedule that has been verified
/// comes to its end whatever arrives when. An overlapped pair runs as two strands where there are such, and so do some
/// forwards that follow each other.
package final class PipelineExecutor {
  private let schedule: Schedule
  /// The ranks with the same data rank, by their place in the pipeline.
  private let pipeline: Communicator
  private let strands: Strands?
  private let waiter: Waiter
  private let stage: any StageWork
  private let willWait: () -> Void
  /// Messages on their way here, or here: of another rank with a request.
  private var arriving: [Pipeline.Message: (tensor: Tensor, request: Request?)] = [:]
  private var leaving: [Request] = []
  /// Seconds in which the action that runs has waited for what its second strand begins with.
  private var awaited = 0.0
  private var posted = 0
  private let origins: [Pipeline.Message: Int]

  /// Actions ahead of the one that runs for whose messages there is room: one arrives while another is used.
  private static let ahead = 2

  /// - Parameter willWait: called before a wait for another place of the pipeline, which may itself wait for this rank.
  package init(
    _ schedule: Schedule, _ pipeline: Communicator, strands: Strands?, waiter: Waiter, stage: any StageWork,
    willWait: @escaping () -> Void = {}
  ) {
    (self.schedule, self.pipeline, self.strands) = (schedule, pipeline, strands)
    (self.waiter, self.stage, self.willWait) = (waiter, stage, willWait)
    origins = Self.origins(schedule, pipeline.rank)
  }

  private var placement: Placement { schedule.placement }
  private var rank: Int { pipeline.rank }

  /// From the first action to the last; once.
  package func run() -> LaneRecord {
    let lane = schedule.lanes[rank]
    var record = LaneRecord(begin: .now)
    var index = 0
    while index < lane.count {
      let action = lane[index]
      let beside = forwardBeside(index, of: lane)
      let other = beside.map { " beside F\($0)" } ?? ""
      pipeline.isDoing("action \(index + 1) of \(lane.count) of \(schedule.name), \(action)\(other)")
      postReceives(of: lane, through: index + Self.ahead)
      let before = ContinuousClock.now
      // What is computed within an action is in its time.
      let own = index > 0 && Self.weightsFollow(index - 1, of: lane)
      record.addWeights(waiter.fillings { prepare(action, beside: beside, weightsAreOwn: own) })
      let start = ContinuousClock.now
      let exposed = pipeline.counters.exposedSeconds
      awaited = 0
      if let beside, let strands {
        // The later one begins, as it waits for nothing; in the schedule, which is verified, the message that the other
        // waits for comes without it.
        run(.forward(beside), beside: action, as: strands)
      } else {
        perform(action, weightsFollow: Self.weightsFollow(index, of: lane))
      }
      record.add(
        .init(
          action: action, beside: beside, waited: before..<start, end: .now,
          exposed: pipeline.counters.exposedSeconds - exposed, awaited: awaited))
      index += beside == nil ? 1 : 2
    }
    let weights = waiter.fillings {
      waiter.finish(leaving, of: pipeline)
      waiter.finishWeights()
    }
    record.addWeights(weights)
    record.end = .now
    pipeline.isDoing("")
    return record
  }

  /// The forward that is next in a lane, if it begins a route and the one before it goes on from another rank's: its
  /// computation then hides the wait for that, and each of them the messages of the other.
  private func forwardBeside(_ index: Int, of lane: [Action]) -> Cell? {
    guard strands != nil, index + 1 < lane.count, case .forward = lane[index],
      case .forward(let next) = lane[index + 1],
      placement.messages(receivedBy: lane[index], on: rank).contains(where: { !$0.isLocal }),
      placement.messages(receivedBy: lane[index + 1], on: rank).isEmpty
    else { return nil }
    return next
  }

  /// Whether the next action computes the weight gradients of this one, so that no other's come between.
  private static func weightsFollow(_ index: Int, of lane: [Action]) -> Bool {
    guard case .inputGradient(let cell) = lane[index], index + 1 < lane.count else { return false }
    return lane[index + 1] == .weightGradient(cell)
  }

  /// Waits for what an action begins with, and computes the weight gradients that were left, before activations of
  /// another micro-batch are added to what they need.
  /// - Parameter weightsAreOwn: whether what was left is what this action is to compute.
  private func prepare(_ action: Action, beside: Cell?, weightsAreOwn: Bool) {
    switch action {
    case .overlapped(let ahead, let back) where strands != nil:
      // What the backward part waits for comes while the forward part computes, and what was left hides its first rows.
      guard beginsRouteBack(back) else { return awaitMessages(of: .forward(ahead)) }
    case .weightGradient where weightsAreOwn: return
    default: if beside == nil { awaitMessages(of: action) }
    }
    waiter.finishWeights()
  }

  private func perform(_ action: Action, weightsFollow: Bool) {
    switch action {
    case .forward(let cell): forward(cell)
    case .backward(let cell): backward(cell, .whileWaiting)
    case .inputGradient(let cell): backward(cell, weightsFollow ? .whileWaitingOrLater : .later)
    case .weightGradient(let cell): stage.weightGradient(cell)
    case .overlapped(let ahead, let back):
      guard let strands else {
        forward(ahead)
        return backward(back, .whileWaiting)
      }
      if beginsRouteBack(back) {
        run(.backward(back), beside: .forward(ahead), as: strands)
      } else {
        run(.forward(ahead), beside: .backward(back), as: strands)
      }
    }
  }

  /// Two strands, of which the second may begin with messages that are still on their way.
  private func run(_ first: Action, beside second: Action, as strands: Strands) {
    strands.run(
      { perform(first, weightsFollow: false) },
      beside: {
        awaitMessages(ofSecond: second)
        // Those that were left come before a backward's own.
        if case .backward = second { waiter.finishWeights() }
        perform(second, weightsFollow: false)
      })
  }

  /// Whether a backward waits for no gradient: of a pair it begins then, as its first rows leave sooner than those of the
  /// forward, and what the forward goes on from comes meanwhile.
  private func beginsRouteBack(_ cell: Cell) -> Bool {
    placement.messages(receivedBy: .inputGradient(cell), on: rank).isEmpty
  }

  private func forward(_ cell: Cell) {
    let action = Action.forward(cell)
    let output = stage.forward(cell, take(placement.messages(receivedBy: action, on: rank).first))
    send(output, as: placement.messages(sentBy: action, on: rank).first)
  }

  private func backward(_ cell: Cell, _ time: WeightTime) {
    let action = Action.inputGradient(cell)
    let gradient = take(placement.messages(receivedBy: action, on: rank).first)
    let result = stage.backward(cell, gradient, time)
    send(result, as: placement.messages(sentBy: action, on: rank).first)
  }

  private func postReceives(of lane: [Action], through last: Int) {
    while posted <= min(last, lane.count - 1) {
      for message in placement.messages(receivedBy: lane[posted], on: rank) where !message.isLocal {
        let tensor = stage.room(for: Cell(slot: message.to.slot, microbatch: message.microbatch))
        let request = waiter.endingJob(pipeline) { () throws(CommunicationError) in
          try pipeline.receive(
            tensor.buffer, from: message.from.rank, tag: message.tag, owner: tensor.storage,
            purpose(message))
        }
        arriving[message] = (tensor, request)
      }
      posted += 1
    }
  }

  /// Waits for what an action begins with.
  private func awaitMessages(of action: Action) {
    for message in placement.messages(receivedBy: action, on: rank) { arrive(message) }
  }

  /// The same in the second strand, within an action.
  private func awaitMessages(ofSecond action: Action) {
    let exposed = pipeline.counters.exposedSeconds
    awaitMessages(of: action)
    awaited = pipeline.counters.exposedSeconds - exposed
  }

  /// Waits until a message is here.
  private func arrive(_ message: Pipeline.Message) {
    guard let (tensor, request) = arriving[message] else {
      preconditionFailure("rank \(rank) awaits what it has not made: \(message)")
    }
    guard let request else { return }
    willWait()
    waiter.finish([request], of: pipeline)
    arriving[message] = (tensor, nil)
  }

  private func take(_ message: Pipeline.Message?) -> Tensor? {
    message.flatMap { arriving.removeValue(forKey: $0)?.tensor }
  }

  private func send(_ tensor: Tensor?, as message: Pipeline.Message?) {
    precondition((tensor == nil) == (message == nil), "a result without a reader, or the other way round")
    guard let tensor, let message else { return }
    guard !message.isLocal else {
      arriving[message] = (tensor, nil)
      return
    }
    leaving.removeAll { request in
      waiter.endingJob(pipeline) { () throws(CommunicationError) in try request.isComplete() }
    }
    leaving.append(
      waiter.endingJob(pipeline) { () throws(CommunicationError) in
        try pipeline.send(
          UnsafeRawBufferPointer(tensor.buffer), to: message.to.rank, tag: message.tag, owner: tensor.storage,
          purpose(message))
      })
  }

  /// Names what the message is for, and which action of its sender it follows.
  private func purpose(_ message: Pipeline.Message) -> Purpose {
    let (stage, origin) = (placement.stage(at: message.to), origins[message])
    let lane = schedule.lanes[message.from.rank]
    let sender = origin.map { " (after its action \($0 + 1), \(lane[$0]))" } ?? ""
    return Purpose(
      "\(message.kind) for stage \(stage)\(sender)", .activations, microBatch: message.microbatch)
  }

  /// The actions, by their place in their lanes, that send this rank something, and its own that send.
  private static func origins(_ schedule: Schedule, _ rank: Int) -> [Pipeline.Message: Int] {
    var origins: [Pipeline.Message: Int] = [:]
    let places = (0..<schedule.placement.slots).map { Place(rank: rank, slot: $0) }
    let neighbors = places.flatMap {
      [schedule.placement.place(before: $0)?.rank, schedule.placement.place(after: $0)?.rank]
    }
    for sender in Set(neighbors.compactMap { $0 } + [rank]) {
      for (index, action) in schedule.lanes[sender].enumerated() {
        for message in schedule.placement.messages(sentBy: action, on: sender)
        where message.to.rank == rank || sender == rank {
          origins[message] = index
        }
      }
    }
    return origins
  }
}
