/// What is known of a training step once its update is done.
package struct StepMetrics: MetricsRecord, Hashable {
  package static let kind = "step"
  package static let group = "train"

  /// The step, counted from 1.
  package var step: Int
  /// Tokens trained on since the start of the run, this step included.
  package var tokens: Int
  /// Passes over the training data, as a fraction.
  package var epoch: Double
  /// Sequences of the global batch.
  package var sequences: Int
  package var losses: Losses
  /// Euclidean norm of the whole gradient, before clipping.
  package var gradientNorm: Double
  /// What the gradient was multiplied by to respect the greatest norm; nil without clipping.
  package var clipCoefficient: Double?
  package var learningRate: Double
  /// λ of the MTP loss; nil without MTP.
  package var mtpWeight: Double?
  /// γ of the routing bias; nil without bias.
  package var biasUpdateSpeed: Double?
  /// Steps of the whole run so far whose loss or gradient was not finite.
  package var nonFiniteSteps: Int
  /// Whether this step made no update.
  package var isSkipped: Bool
  /// Spikes of the loss in the whole run so far; nil where nobody looks for them.
  package var lossSpikes: Int?
  /// Layers that were multiplied in bfloat16 instead of FP8; nil for a run in which none can be.
  package var fallenBackLayers: Int?
  /// Seconds from the first micro-batch to the end of the update.
  package var stepSeconds: Double
  package var tokensPerSecond: Double
  /// Most memory that the process has held so far.
  package var peakMemoryBytes: Int
  /// One for each MoE layer, empty for a dense model.
  package var layers: [LayerLoad]
  package var traffic: StepTraffic
  /// nil without a pipeline.
  package var pipeline: PipelineTimes?

  /// Means over the predicted tokens of the global batch, in nats.
  package struct Losses: Hashable, Sendable {
    /// The objective: everything below with its weight.
    package var total: Double
    /// Cross-entropy of the next token.
    package var main: Double
    /// `Lᵏ` of MTP depth k = 1, 2, …, before the weight λ; empty without MTP.
    ///
    /// Source: DeepSeek-V3 report, eq. 24.
    package var mtp: [Double]
    /// Sum of the balance losses of all layers, with their weights.
    package var balance: Double

    package init(total: Double, main: Double, mtp: [Double], balance: Double) {
      (self.total, self.main, self.mtp, self.balance) = (total, main, mtp, balance)
    }
  }

  package init(
    step: Int, tokens: Int, epoch: Double, sequences: Int, losses: Losses, gradientNorm: Double,
    clipCoefficient: Double?, learningRate: Double, mtpWeight: Double?, biasUpdateSpeed: Double?,
    nonFiniteSteps: Int, isSkipped: Bool, stepSeconds: Double, tokensPerSecond: Double,
    peakMemoryBytes: Int, layers: [LayerLoad], traffic: StepTraffic = StepTraffic()
  ) {
    (self.step, self.tokens, self.epoch, self.sequences) = (step, tokens, epoch, sequences)
    (self.losses, self.gradientNorm, self.clipCoefficient) = (losses, gradientNorm, clipCoefficient)
    (self.learningRate, self.mtpWeight, self.biasUpdateSpeed) = (learningRate, mtpWeight, biasUpdateSpeed)
    (self.nonFiniteSteps, self.isSkipped) = (nonFiniteSteps, isSkipped)
    (self.stepSeconds, self.tokensPerSecond) = (stepSeconds, tokensPerSecond)
    (self.peakMemoryBytes, self.layers, self.traffic) = (peakMemoryBytes, layers, traffic)
  }

  /// MaxVio as the mean over the MoE layers; nil for a dense model.
  package var maxViolation: Double? { mean(layers.map(\.maxViolation)) }

  package var fields: [MetricField] {
    var fields = [MetricField("tokens", .integer(tokens)), MetricField("loss", .number(losses.total))]
    func add(_ name: String, _ value: Double?) {
      if let value { fields.append(MetricField(name, .number(value))) }
    }
    add("loss_main", losses.main)
    fields += mtpFields(losses.mtp)
    add("loss_balance", losses.balance)
    add("gradient_norm", gradientNorm)
    add("clip_coefficient", clipCoefficient)
    add("learning_rate", learningRate)
    add("tokens_per_second", tokensPerSecond)
    add("step_seconds", stepSeconds)
    fields += traffic.fields
    fields += pipeline?.fields ?? []
    fields.append(MetricField("sequences", .integer(sequences)))
    add("epoch", epoch)
    add("mtp_weight", mtpWeight)
    add("bias_update_speed", biasUpdateSpeed)
    fields.append(MetricField("non_finite_steps", .integer(nonFiniteSteps)))
    if let lossSpikes { fields.append(MetricField("loss_spikes", .integer(lossSpikes))) }
    if isSkipped { fields.append(MetricField("skipped", .integer(1))) }
    if let fallenBackLayers { fields.append(MetricField("fp8_fallen_back", .integer(fallenBackLayers))) }
    fields.append(MetricField("peak_memory_bytes", .integer(peakMemoryBytes)))
    add("max_violation", maxViolation)
    if !layers.isEmpty { fields.append(MetricField("layers", .layers(layers))) }
    return fields
  }
}

extension MetricsRecord {
  /// `loss_mtp`, the mean over the depths, and `loss_mtp_by_depth`; neither without MTP.
  func mtpFields(_ losses: [Double]) -> [MetricField] {
    guard let mean = mean(losses) else { return [] }
    return [MetricField("loss_mtp", .number(mean)), MetricField("loss_mtp_by_depth", .numbers(losses))]
  }

  /// nil for no values.
  func mean(_ values: [Double]) -> Double? {
    values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
  }
}
