internal import Autograd
internal import Checkpoint
internal import Communication
internal import Model
internal import Optimization
internal import Parallel
internal import Tensors

/// A step whose gradients are summed, and not yet used.
struct SummedStep {
  let begin: ContinuousClock.Instant
  /// What had been sent when it began; nil for one rank alone.
  let traffic: TrafficCounters?
  let sums: StepSums
  /// Of all gradients together.
  let norm: Double
  /// Samples.
  let samples: Range<Int>
  /// λ and γ.
  let multiTokenWeight, biasUpdateSpeed: Double

  var isFinite: Bool { sums.total.isFinite && norm.isFinite }
}

extension Trainer {
  /// One optimizer step: micro-batches, guards, update, bias update. Nothing is written.
  ///
  /// - Throws: `TrainingError.nonFinite`, with nothing updated, whatever the policy of the run: for measurements.
  package func step() throws -> StepMetrics {
    let step = sumGradients()
    guard step.isFinite else { throw TrainingError.nonFinite(cause(step), tolerated: 0) }
    return update(step, settling: true)
  }

  /// Waits for what the last update changed on other ranks: before parameters are read outside of a step.
  func settle() { ranks?.shards.finishGathers() }

  /// Runs the micro-batches of the next step.
  /// - Parameters:
  ///   - monitor: watches the FP8 matrices.
  ///   - samples: of another trainer's step, instead of those that are due.
  func sumGradients(_ monitor: Float8Monitor? = nil, samples: Range<Int>? = nil) -> SummedStep {
    let begin = ContinuousClock.now
    let traffic = ranks?.grid.world.counters
    let (section, clock) = (configuration.training, configuration.clock(shares: shares))
    let sequences = clock.batch.size(tokens: state.tokens, multiple: clock.multiple)
    let samples = samples ?? state.nextSample..<state.nextSample + sequences
    let weight = section.mtpLossWeight.value(tokens: state.tokens)
    let profiler = model.device.profiler
    profiler?.scope = "optimizer"
    optimizer.clearGradients()
    let sums = runner.run(batches(samples), multiTokenWeight: weight, monitor: monitor)
    profiler?.scope = "optimizer"
    let squares = optimizer.gradientSquares()
    return SummedStep(
      begin: begin, traffic: traffic, sums: sums, norm: (ranks?.reduce([squares])[0] ?? squares).squareRoot(),
      samples: samples, multiTokenWeight: weight,
      biasUpdateSpeed: section.biasUpdateSpeed.value(tokens: state.tokens))
  }

  /// Bytes of activations that a micro-batch keeps for its backward pass; for measurements, after a step.
  package func activationBytes() -> Int {
    optimizer.clearGradients()
    let size = configuration.training.microBatchSize
    return runner.activationBytes(source.microBatch(first: state.nextSample, count: size))
  }

  /// What the number of micro-batches of a step is a multiple of.
  var shares: Int { ranks?.shares ?? 1 }

  /// This rank's equal run of the samples of a step; the ranks of a pipeline have the same.
  func batches(_ samples: Range<Int>) -> some RandomAccessCollection<MicroBatch> {
    let (size, source) = (configuration.training.microBatchSize, source)
    let own = samples.count / (ranks?.grid.data ?? 1)
    let first = samples.lowerBound + (ranks?.grid.dataRank ?? 0) * own
    return (0..<own / size).lazy.map { source.microBatch(first: first + $0 * size, count: size) }
  }

  /// - Parameters:
  ///   - rate: instead of the one that is due.
  ///   - settling: whether parameters travel at once, and count to this step, instead of with the next one.
  func update(_ step: SummedStep, rate: Double? = nil, settling: Bool = false) -> StepMetrics {
    let rate = rate ?? self.rate(step)
    optimizer.update(learningRate: rate, norm: step.norm, step: state.step + 1 - state.skippedSteps)
    if let ranks { ranks.shards.ownedDidChange() } else { model.weightsDidChange() }
    if settling { settle() }
    model.updateBiases(loads: step.sums.loads, speed: Float(step.biasUpdateSpeed))
    return count(step, rate: rate, isSkipped: false)
  }

  /// Counts a step without an update: schedules go by steps and tokens, which must stay in step with each other.
  func skip(_ step: SummedStep) -> StepMetrics {
    state.skippedSteps += 1
    return count(step, rate: rate(step), isSkipped: true)
  }

  /// Takes everything back to the last checkpoint but the counts of bad steps and the position in the data.
  ///
  /// - Throws: `CheckpointError` when that checkpoint is missing or damaged by now.
  func rollBack(_ step: SummedStep, because verdict: StepVerdict) throws -> RollBackMetrics {
    let (failed, counts) = (state.step + 1, (state.nonFinite, state.lossSpikes))
    if let path = lastSave.path {
      state = try runCheckpoint.restoration(from: open(.path(path))).run()
      adoptFallenBackLayers()
    } else {
      initialize()
    }
    let skipped = state.nextSample..<step.samples.upperBound
    (state.nonFinite, state.lossSpikes) = counts
    state.nextSample = skipped.upperBound
    return RollBackMetrics(
      step: state.step + 1, failedStep: failed, skippedSamples: skipped,
      nonFiniteSteps: state.nonFinite.total, lossSpikes: lossSpikes, spike: verdict.spike)
  }

  /// Spikes so far; nil where nobody looks for them.
  private var lossSpikes: Int? {
    configuration.training.lossSpike.action == .off ? nil : state.lossSpikes.total
  }

  func rate(_ step: SummedStep) -> Double {
    schedule.value(step: state.step + 1, tokens: state.tokens + tokens(step))
  }

  private func tokens(_ step: SummedStep) -> Int {
    step.samples.count * configuration.training.sequenceLength
  }

  private func count(_ step: SummedStep, rate: Double, isSkipped: Bool) -> StepMetrics {
    state.step += 1
    state.tokens += tokens(step)
    state.nextSample = step.samples.upperBound
    let sums = step.sums
    let seconds = (ContinuousClock.now - step.begin) / .seconds(1)
    var metrics = StepMetrics(
      step: state.step, tokens: state.tokens,
      epoch: source.samplesPerEpoch.map { Double(state.nextSample) / Double($0) } ?? 0,
      sequences: step.samples.count,
      losses: .init(
        total: sums.total, main: sums.mainLoss, mtp: sums.multiTokenLosses, balance: sums.losses.balance),
      gradientNorm: step.norm, clipCoefficient: isSkipped ? nil : optimizer.clipCoefficient(norm: step.norm),
      learningRate: rate, mtpWeight: model.depths == 0 ? nil : step.multiTokenWeight,
      biasUpdateSpeed: model.hasRouterBiases ? step.biasUpdateSpeed : nil,
      nonFiniteSteps: state.nonFinite.total, isSkipped: isSkipped, stepSeconds: seconds,
      tokensPerSecond: Double(tokens(step)) / seconds, peakMemoryBytes: peakMemoryBytes(),
      layers: layerLoads(sums),
      traffic: step.traffic.flatMap { ranks?.traffic(since: $0) } ?? StepTraffic())
    metrics.pipeline = sums.pipeline
    metrics.lossSpikes = lossSpikes
    metrics.fallenBackLayers = configuration.precision.fallsBack ? state.fallenBackLayers.count : nil
    return metrics
  }

  /// How the experts of each layer were loaded, and the biases of their routers, wherever in a pipeline they are.
  private func layerLoads(_ sums: StepSums) -> [LayerLoad] {
    let layers = model.expertLayerNumbers
    var biases = Dictionary(
      uniqueKeysWithValues: model.hasRouterBiases
        ? model.expertLayers.map { ($0.layer, Array($0.bias.floats)) } : [])
    if let ranks, model.hasRouterBiases {
      biases = ranks.ofPipeline(biases, layers: layers, count: model.configuration.nRoutedExperts)
    }
    return layers.compactMap { layer in
      sums.loads[layer].map { LayerLoad(layer: layer, counts: $0, bias: biases[layer] ?? []) }
    }
  }

  /// Looks for where it began: weights, then activations, then gradients.
  func cause(_ step: SummedStep) -> NonFiniteCause {
    let weight = model.namedTensors.first { $0.tensor.firstNonFinite() != nil }.map { "weight \($0.name)" }
    // Ranks look through their batches together, whoever has found what.
    let looksOn = weight == nil || ranks != nil
    let activation = looksOn ? runner.firstNonFiniteActivation(batches(step.samples)) : nil
    let gradient = optimizer.firstNonFiniteGradient().map { "gradient of \($0)" }
    let tensor =
      if let ranks {
        ranks.first(weight) ?? ranks.first(activation) ?? ranks.first(gradient)
      } else {
        weight ?? activation ?? gradient
      }
    // Without the sign of a NaN, which means nothing.
    let text = { (value: Double) in value.isNaN ? "NaN" : "\(value)" }
    let (loss, norm) = (step.sums.total, step.norm)
    let what = loss.isFinite ? "the gradient norm (\(text(norm)))" : "the loss (\(text(loss)))"
    return NonFiniteCause(
      step: state.step + 1, what: what, tensor: tensor ?? "a logit of the output head")
  }
}
