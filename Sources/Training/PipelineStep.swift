internal import Autograd
internal import Communication
internal import Model
internal import Parallel
internal import Pipeline
internal import Tensors

extension StepRunner {
  /// Runs the micro-batches of a step through a pipeline.
  ///
  /// Losses are added up in the order of the micro-batches, and within one in that of the layers, wherever they were
  /// computed: to the bits of one rank alone.
  /// - Parameter empty: the sums of no micro-batch.
  func run(
    _ batches: some RandomAccessCollection<MicroBatch>, _ empty: StepSums, _ globalSequences: Int,
    in plan: PipelinePlan, of ranks: TrainingRanks, _ monitor: Float8Monitor?
  ) -> StepSums {
    let schedule = plan.schedule(microbatches: batches.count)
    let rank = ranks.grid.stage
    let tokens = batches.first.map { $0.sequences * $0.length } ?? 0
    let stages = ModelStages(
      model, plan.layout.stages(of: rank), empty.objective, tokens: tokens, leavingTo: ranks.weights
    ) { cell in
      let index = schedule.globalMicrobatch(of: cell, on: rank)
      let batch = batches[batches.index(batches.startIndex, offsetBy: index)]
      let context = context(batch, Tape(on: model.device), globalSequences, microBatch: index, monitor)
      // The last update is on its way while the first micro-batches begin.
      context.willRead = ranks.shards.finishGather
      return (batch, context)
    }
    let record = PipelineExecutor(
      schedule, ranks.grid.pipelineRanks, strands: ranks.strands, waiter: ranks.waiter, stage: stages,
      willWait: ranks.shards.startAllGathers
    ).run()
    ranks.shards.reduceAll()
    var sums = gather(stages, schedule, empty, ranks)
    sums.timeline = record.events.flatMap { event in
      [.init(event.name, event.waited.upperBound, event.end)]
        + event.weights.map { .init("W of \(event.name)", $0.lowerBound, $0.upperBound) }
    }
    sums.pipeline = times(record, schedule, peakLive: stages.peakLive, ranks)
    return sums
  }

  /// Brings together what the stages of all ranks found.
  private func gather(
    _ stages: ModelStages, _ schedule: Schedule, _ empty: StepSums, _ ranks: TrainingRanks
  ) -> StepSums {
    let (layers, depths) = (model.expertLayerNumbers, model.depths)
    let (width, experts) = (depths + 1 + layers.count, model.configuration.nRoutedExperts)
    var losses = [Double](repeating: 0, count: schedule.microbatches * width)
    var loads = [Int](repeating: 0, count: layers.count * experts)
    let place = Dictionary(uniqueKeysWithValues: zip(layers, layers.indices))
    for (cell, routing) in stages.routing {
      let first = schedule.globalMicrobatch(of: cell, on: ranks.grid.stage) * width
      for (depth, sum) in (stages.losses[cell]?.tokens ?? []).enumerated() { losses[first + depth] = sum }
      for layer in routing {
        guard let index = place[layer.layer] else { preconditionFailure("layer \(layer.layer) of \(layers)") }
        losses[first + depths + 1 + index] = layer.balanceLoss
        for (expert, count) in layer.counts.enumerated() { loads[index * experts + expert] += count }
      }
    }
    (losses, loads) = (ranks.sumOverPipeline(losses), ranks.sumOverPipeline(loads))
    var sums = empty
    for first in stride(from: 0, to: losses.count, by: width) {
      var micro = LossSums(depths: depths)
      micro.tokens = Array(losses[first..<first + depths + 1])
      micro.balance = losses[first + depths + 1..<first + width].reduce(0, +)
      sums.add(micro, [])
    }
    for (layer, index) in place { sums.loads[layer] = Array(loads[index * experts..<(index + 1) * experts]) }
    return sums
  }

  private func times(
    _ record: LaneRecord, _ schedule: Schedule, peakLive: Int, _ ranks: TrainingRanks
  ) -> PipelineTimes {
    var measured = MeasuredCosts(record, on: ranks.grid.stage, in: schedule.placement)
    measured.sums = ranks.reduce(measured.sums)
    let worst = ranks.reduce([record.makespan, Double(peakLive)], .maximum)
    let bubble = ranks.reduce([1 - record.busy / record.makespan])[0] / Double(ranks.grid.world.size)
    // Of a schedule that has run to its end there is a simulation; the first rank writes it down.
    let isFirst = ranks.grid.world.rank == 0
    let played = schedule.asPlayed(overlapping: ranks.weights != nil)
    let predicted = isFirst ? (try? played.simulate(measured.costs))?.makespan ?? 0 : 0
    return PipelineTimes(
      bubbleFraction: bubble, makespan: worst[0], predicted: predicted, peakLive: Int(worst[1]))
  }
}

extension DeepSeek {
  /// What a micro-batch's tokens' losses add up to, and what the head read, without a backward pass to follow.
  ///
  /// - Parameter ranks: those of a pipeline pass the micro-batch on, along the first route; all but the last get zeros.
  func losses(
    _ batch: MicroBatch, _ objective: Objective, _ context: ForwardContext, over ranks: TrainingRanks?
  ) -> (sums: LossSums, hidden: [Tensor]) {
    guard let ranks, let layout = ranks.pipeline?.layout else {
      let (_, sums, hidden) = losses(batch, objective, context)
      return (sums, hidden)
    }
    var result = (sums: LossSums(depths: depths), hidden: [Tensor]())
    var passed: Variable?
    for place in layout.placement.routes[0] where place.rank == ranks.grid.stage {
      let stage = layout.stage(at: place)
      let before = layout.placement.place(before: place)
      if let before, before.rank != place.rank {
        let room = Tensor([batch.sequences * batch.length, configuration.hiddenSize], compute, on: device)
        ranks.receive(room, from: before.rank)
        passed = Variable(room)
      }
      guard !stage.hasHead else {
        (_, result.sums, result.hidden) = losses(of: stage, batch, from: passed, objective, context)
        continue
      }
      let stream = hiddenStates(of: stage, batch, from: passed, context)
      passed = stream
      if let after = layout.placement.place(after: place), after.rank != place.rank {
        ranks.send(stream.value, to: after.rank)
      }
    }
    return result
  }
}

extension TrainingRanks {
  /// An activation to, and from, another rank of the pipeline, outside of a schedule.
  fileprivate func send(_ tensor: Tensor, to peer: Int) {
    waiter.endingJob(grid.pipelineRanks) { () throws(CommunicationError) in
      let bytes = UnsafeRawBufferPointer(tensor.buffer)
      try grid.pipelineRanks.send(bytes, to: peer, tag: 0, owner: tensor.storage, purpose).wait()
    }
  }

  fileprivate func receive(_ room: Tensor, from peer: Int) {
    waiter.endingJob(grid.pipelineRanks) { () throws(CommunicationError) in
      try grid.pipelineRanks.receive(room.buffer, from: peer, tag: 0, owner: room.storage, purpose).wait()
    }
  }

  private var purpose: Purpose { Purpose("activation of a forward pass", .activations) }
}
