package import Autograd
internal import Communication
package import Model
internal import Parallel
internal import Tensors

/// What one global batch added up to.
package struct StepSums: Sendable {
  package var losses: LossSums
  package var objective: Objective
  /// Tokens that each expert received in the whole batch, by layer.
  package var loads: [Int: [Int]] = [:]
  /// nil without a pipeline.
  package var pipeline: PipelineTimes?
  /// What this rank computed when.
  package var timeline: [StepTimeline.Event] = []

  /// The mean loss of the main head, in nats per token.
  package var mainLoss: Double { mean(0) }
  /// The mean loss of each depth of multi-token prediction.
  package var multiTokenLosses: [Double] { losses.tokens.indices.dropFirst().map(mean) }
  /// `L_main + λ/D Σ_k L_k + Σ L_balance`
  package var total: Double {
    let depths = multiTokenLosses
    let weighed = depths.isEmpty ? 0 : objective.multiTokenWeight / Double(depths.count) * depths.reduce(0, +)
    return mainLoss + weighed + losses.balance
  }

  mutating func add(_ losses: LossSums, _ routing: [LayerRouting]) {
    self.losses += losses
    for routing in routing {
      let load = loads[routing.layer] ?? Array(repeating: 0, count: routing.counts.count)
      loads[routing.layer] = zip(load, routing.counts).map { $0 + $1 }
    }
  }

  private func mean(_ depth: Int) -> Double {
    let count = objective.validLabels[depth]
    return count == 0 ? 0 : losses.tokens[depth] / Double(count)
  }
}

/// Runs the micro-batches of a step forward and backward; the gradients add up in the parameters, and over the ranks.
package struct StepRunner {
  package let model: DeepSeek
  /// The ranks that share the batch; nil for one alone.
  package var ranks: TrainingRanks?
  package var recomputation: Recomputation = []
  package var balance = BalanceLosses()

  package init(_ model: DeepSeek) { self.model = model }

  /// - Parameters:
  ///   - multiTokenWeight: λ of this step.
  ///   - batches: this rank's, as many as each other's; gone through twice, so a lazy collection never has all of them
  ///     in memory.
  ///   - monitor: watches the FP8 matrices.
  /// - Returns: sums over all ranks.
  package func run(
    _ batches: some RandomAccessCollection<MicroBatch>, multiTokenWeight: Double,
    monitor: Float8Monitor? = nil
  ) -> StepSums {
    if let monitor {
      ranks?.shards.finishGathers()
      model.countWeights(monitor)
    }
    let depths = model.depths
    // Counted over the whole batch before the first micro-batch: accumulation must not change the gradient.
    var valid = Array(repeating: 0, count: depths + 1)
    var globalSequences = 0
    for batch in batches {
      globalSequences += batch.sequences
      for (depth, count) in batch.validLabels(depths: depths).enumerated() { valid[depth] += count }
    }
    if let ranks {
      let total = ranks.sumOverData(valid + [globalSequences])
      (valid, globalSequences) = (Array(total.dropLast()), total[depths + 1])
    }
    let objective = Objective(validLabels: valid, multiTokenWeight: multiTokenWeight)
    let empty = StepSums(losses: LossSums(depths: depths), objective: objective)
    guard let ranks else { return run(batches, empty, globalSequences, monitor) }
    // After all that is small: on a slow link it would wait behind parameters.
    ranks.shards.startGather()
    var sums =
      if let pipeline = ranks.pipeline {
        run(batches, empty, globalSequences, in: pipeline, of: ranks, monitor)
      } else {
        run(batches, empty, globalSequences, monitor)
      }
    ranks.sum(&sums)
    return sums
  }

  /// One after the other, or the forward pass of each beside the backward pass of the one before.
  private func run(
    _ batches: some RandomAccessCollection<MicroBatch>, _ empty: StepSums, _ globalSequences: Int,
    _ monitor: Float8Monitor?
  ) -> StepSums {
    let objective = empty.objective
    var sums = empty
    var owed: (() -> Void)?
    for (index, batch) in batches.enumerated() {
      let context = context(batch, Tape(on: model.device), globalSequences, microBatch: index, monitor)
      if let shards = ranks?.shards {
        // The last update is on its way while the first micro-batch begins, and sums are on theirs while the last one
        // ends.
        if index == 0 { context.willRead = shards.finishGather }
        if index == batches.count - 1 { context.hasPassed = shards.reduce }
      }
      var roots: [Variable] = []
      let begin = ContinuousClock.now
      let forward = {
        let losses: LossSums
        (roots, losses, _) = model.losses(batch, objective, context)
        sums.add(losses, context.routing)
      }
      if let strands = ranks?.strands, let backward = owed {
        strands.run(forward, beside: backward)
        ranks?.waiter.finishWeights()
        sums.timeline.append(.init("F0.\(index)&B0.\(index - 1)", begin, .now))
      } else {
        forward()
        sums.timeline.append(.init("F0.\(index)", begin, .now))
      }
      owed = { [device = model.device, weights = ranks?.weights] in
        let roots = roots.map { ($0, Tensor([1], [1 as Float], on: device)) }
        context.tape.backward(from: roots, leavingTo: weights)
      }
      guard ranks?.strands == nil || index == batches.count - 1 else { continue }
      let end = ContinuousClock.now
      owed?()
      ranks?.waiter.finishWeights()
      sums.timeline.append(.init("B0.\(index)", end, .now))
    }
    ranks?.shards.finishReductions()
    return sums
  }

  /// The first intermediate result of a batch that holds a NaN or infinity. Ranks go through their batches together.
  package func firstNonFiniteActivation(_ batches: some RandomAccessCollection<MicroBatch>) -> String? {
    var first: String?
    for (index, batch) in batches.enumerated() {
      var found: String?
      let context = ForwardContext(
        tape: Tape(on: model.device, isRecording: false), sequences: batch.sequences, length: batch.length,
        table: model.rotaryTable(batch.length), exchange: ranks?.exchange(microBatch: index),
        observe: { name, value in
          if found == nil, value.converted(to: .float32).firstNonFinite() != nil {
            found = "activation \(name)"
          }
        })
      let valid = batch.validLabels(depths: model.depths)
      _ = model.losses(batch, Objective(validLabels: valid, multiTokenWeight: 0), context, over: ranks)
      first = first ?? found
      if ranks == nil, first != nil { return first }
    }
    return first
  }

  /// Bytes that the forward pass of a micro-batch leaves for its backward pass, which does not follow. Gradients of the
  /// head are added to.
  package func activationBytes(_ batch: MicroBatch) -> Int {
    let (pool, depths) = (model.device.pool, model.depths)
    let objective = Objective(validLabels: batch.validLabels(depths: depths), multiTokenWeight: 0)
    let before = pool.liveBytes
    let tape = Tape(on: model.device)
    let context = context(batch, tape, batch.sequences, microBatch: 0)
    _ = model.losses(batch, objective, context)
    return withExtendedLifetime((tape, context)) { pool.liveBytes - before }
  }

  func context(
    _ batch: MicroBatch, _ tape: Tape, _ globalSequences: Int, microBatch: Int,
    _ monitor: Float8Monitor? = nil
  ) -> ForwardContext {
    var balance = balance
    balance.sequences = batch.sequences
    balance.globalSequences = globalSequences
    return ForwardContext(
      tape: tape, sequences: batch.sequences, length: batch.length, table: model.rotaryTable(batch.length),
      recomputation: recomputation, balance: balance, exchange: ranks?.exchange(microBatch: microBatch),
      monitor: monitor)
  }
}
