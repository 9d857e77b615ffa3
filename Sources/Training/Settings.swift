package import Autograd
internal import Communication
package import Model
package import Optimization
internal import Parallel
package import Tensors

// How the sections of a configuration become the settings of the parts that they configure.

extension AdamWSettings {
  package init(_ section: OptimizerSection) {
    self.init()
    (beta1, beta2) = (Float(section.beta1), Float(section.beta2))
    (epsilon, weightDecay) = (Float(section.epsilon), Float(section.weightDecay))
    clipNorm = Float(section.clipNorm)
  }
}

extension Recomputation {
  package init(_ parts: [TrainingSection.RecomputedPart]) {
    self = []
    for part in parts {
      switch part {
      case .norms: insert(.norms)
      case .upProjections: insert(.upProjections)
      case .swiglu: insert(.swiglu)
      }
    }
  }
}

extension TrainingSection.PackedWeights {
  /// The layouts of the products for which panels are kept.
  package var layouts: [Layout] {
    switch self {
    case .none: []
    case .forward: [.nt]
    case .both: [.nt, .nn]
    }
  }
}

extension BalanceLosses {
  package init(_ section: TrainingSection, _ model: ModelConfiguration) {
    self.init()
    (sequence, expert) = (section.sequenceBalanceLoss, section.expertBalanceLoss)
    (device, communication) = (section.deviceBalanceLoss, section.communicationBalanceLoss)
    devices = section.balanceDevices ?? max(model.nGroup, 1)
    // With device-limited routing a token reaches M of D devices; without, as many as it has experts.
    let limited = model.topkMethod != .greedy && model.topkGroup < model.nGroup
    reachableDevices =
      limited ? max(1, devices * model.topkGroup / model.nGroup) : min(devices, model.numExpertsPerTok)
  }
}

extension Parameter {
  /// What the optimizer sees of a parameter.
  /// - Parameter owned: the elements that are updated here; nil for all.
  package func slot(owned: Range<Int>? = nil) -> OptimizerSlot {
    OptimizerSlot(
      parts: parts.map { ($0.name, $0.offset, $0.shape) }, master: master, gradient: gradientSums,
      compute: roundedCopy ?? master, owned: owned)
  }
}

extension DeepSeek {
  /// What the optimizer sees of the model.
  /// - Parameter owned: by parameter, the elements that are updated here; nil for all.
  package func slots(owned: [Range<Int>]? = nil) -> [OptimizerSlot] {
    parameters.enumerated().map { index, parameter in parameter.slot(owned: owned?[index]) }
  }
}

extension RunConfiguration {
  /// Tokens of a micro-batch.
  package var microBatchTokens: Int { training.microBatchSize * training.sequenceLength }

  /// Rows that may arrive at a rank at once; nil where no more can come.
  ///
  /// If it is not given, twice what comes where all ranks get as many and each token's experts are on different ranks.
  package func rowLimit(expertRanks: Int, model: ModelConfiguration) -> Int? {
    let usual = microBatchTokens * min(model.numExpertsPerTok, expertRanks)
    // Never below what slices can be cut to.
    let least = TokenSlicing.leastLimit(tokens: microBatchTokens, ranks: expertRanks)
    let limit = parallel.exchangeRows ?? max(2 * usual, least)
    return limit < microBatchTokens * expertRanks ? limit : nil
  }
}

extension ParallelSection.Gradients {
  var payload: Payload {
    switch self {
    case .float32: .float32
    case .bfloat16: .bfloat16
    }
  }
}

extension ParallelSection.Exchange {
  /// - Parameter nodes: of the ranks that share experts.
  func isTwoLevel(on nodes: [Int]) -> Bool {
    switch self {
    case .oneLevel: false
    case .twoLevel: true
    // With one rank on each node the second level would only copy.
    case .auto: ExchangePath.fault(nodes: nodes) == nil && Set(nodes).count < nodes.count
    }
  }
}

extension ProcessGrid {
  /// The experts that this rank holds.
  var share: ExpertShare { ExpertShare(rank: expertRank, ranks: expert) }
}
