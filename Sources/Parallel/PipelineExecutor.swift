package import Communication
package import Pipeline
internal import Tensors

/// Runs one rank's lane of any schedule: it knows actions, places and messages, and no schedule by its name.
///
/// Receives are posted ahead and matched by name, sends are waited for at the end, so a schedule that has been verified
/// comes to its end whatever arrives when. An overlapped pair runs as two strands where there are such.
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
    for (index, action) in lane.enumerated() {
      pipeline.isDoing("action \(index + 1) of \(lane.count) of \(schedule.name), \(action)")
      postReceives(of: lane, through: index + Self.ahead)
      let before = ContinuousClock.now
      let messages = placement.messages(receivedBy: action, on: rank)
      // What is computed within an action is in its time.
      let weights = waiter.fillings {
        for message in messages { arrive(message) }
        // Before activations of another micro-batch are added to theirs.
        waiter.finishWeights()
      }
      record.addWeights(weights)
      let start = ContinuousClock.now
      let exposed = pipeline.counters.exposedSeconds
      perform(action)
      record.add(
        action, waited: before..<start, end: .now, exposed: pipeline.counters.exposedSeconds - exposed)
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

  private func perform(_ action: Action) {
    switch action {
    case .forward(let cell): forward(cell)
    case .backward(let cell): backward(cell, deferring: false)
    case .inputGradient(let cell): backward(cell, deferring: true)
    case .weightGradient(let cell): stage.weightGradient(cell)
    case .overlapped(let ahead, let back):
      if let strands {
        strands.run({ forward(ahead) }, beside: { backward(back, deferring: false) })
      } else {
        forward(ahead)
        backward(back, deferring: false)
      }
    }
  }

  private func forward(_ cell: Cell) {
    let action = Action.forward(cell)
    let output = stage.forward(cell, take(placement.messages(receivedBy: action, on: rank).first))
    send(output, as: placement.messages(sentBy: action, on: rank).first)
  }

  private func backward(_ cell: Cell, deferring: Bool) {
    let action = Action.inputGradient(cell)
    let gradient = take(placement.messages(receivedBy: action, on: rank).first)
    let result = stage.backward(cell, gradient, deferring: deferring)
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
