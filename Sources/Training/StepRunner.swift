package import Autograd
package import Model
internal import Tensors

/// What one global batch added up to.
package struct StepSums: Sendable {
  package var losses: LossSums
  package var objective: Objective
  /// Tokens that each expert received in the whole batch, by layer.
  package var loads: [Int: [Int]] = [:]

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

  private func mean(_ depth: Int) -> Double {
    let count = objective.validLabels[depth]
    return count == 0 ? 0 : losses.tokens[depth] / Double(count)
  }
}

/// Runs the micro-batches of a step forward and backward; the gradients add up in the parameters.
package struct StepRunner {
  package let model: DeepSeek
  package var recomputation: Recomputation = []
  package var balance = BalanceLosses()

  package init(_ model: DeepSeek) { self.model = model }

  /// - Parameters:
  ///   - multiTokenWeight: λ of this step.
  ///   - batches: gone through twice, so a lazy collection never has all of them in memory.
  ///   - monitor: watches the FP8 matrices.
  package func run(
    _ batches: some Collection<MicroBatch>, multiTokenWeight: Double, monitor: Float8Monitor? = nil
  ) -> StepSums {
    if let monitor { model.countWeights(monitor) }
    let depths = model.predictors.count
    // Counted over the whole batch before the first micro-batch: accumulation must not change the gradient.
    var valid = Array(repeating: 0, count: depths + 1)
    var globalSequences = 0
    for batch in batches {
      globalSequences += batch.sequences
      for (depth, count) in batch.validLabels(depths: depths).enumerated() { valid[depth] += count }
    }
    let objective = Objective(validLabels: valid, multiTokenWeight: multiTokenWeight)
    var sums = StepSums(losses: LossSums(depths: depths), objective: objective)
    for batch in batches {
      let tape = Tape(on: model.device)
      let context = context(batch, tape, globalSequences, monitor)
      let (roots, losses, _) = model.losses(batch, objective, context)
      sums.losses += losses
      for routing in context.routing {
        let load = sums.loads[routing.layer] ?? Array(repeating: 0, count: routing.counts.count)
        sums.loads[routing.layer] = zip(load, routing.counts).map { $0 + $1 }
      }
      tape.backward(from: roots.map { ($0, Tensor([1], [1 as Float], on: model.device)) })
    }
    return sums
  }

  /// The first intermediate result of a batch that holds a NaN or infinity.
  package func firstNonFiniteActivation(_ batches: some Collection<MicroBatch>) -> String? {
    for batch in batches {
      var found: String?
      let context = ForwardContext(
        tape: Tape(on: model.device, isRecording: false), sequences: batch.sequences, length: batch.length,
        table: model.rotaryTable(batch.length),
        observe: { name, value in
          if found == nil, value.converted(to: .float32).firstNonFinite() != nil {
            found = "activation \(name)"
          }
        })
      let valid = batch.validLabels(depths: model.predictors.count)
      _ = model.losses(batch, Objective(validLabels: valid, multiTokenWeight: 0), context)
      if let found { return found }
    }
    return nil
  }

  /// Bytes that the forward pass of a micro-batch leaves for its backward pass, which does not follow. Gradients of the
  /// head are added to.
  package func activationBytes(_ batch: MicroBatch) -> Int {
    let (pool, depths) = (model.device.pool, model.predictors.count)
    let objective = Objective(validLabels: batch.validLabels(depths: depths), multiTokenWeight: 0)
    let before = pool.liveBytes
    let tape = Tape(on: model.device)
    let context = context(batch, tape, batch.sequences)
    _ = model.losses(batch, objective, context)
    return withExtendedLifetime((tape, context)) { pool.liveBytes - before }
  }

  private func context(
    _ batch: MicroBatch, _ tape: Tape, _ globalSequences: Int, _ monitor: Float8Monitor? = nil
  ) -> ForwardContext {
    var balance = balance
    balance.sequences = batch.sequences
    balance.globalSequences = globalSequences
    return ForwardContext(
      tape: tape, sequences: batch.sequences, length: batch.length, table: model.rotaryTable(batch.length),
      recomputation: recomputation, balance: balance, monitor: monitor)
  }
}
