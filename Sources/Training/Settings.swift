package import Autograd
package import Model
package import Optimization
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
  package var slot: OptimizerSlot {
    OptimizerSlot(
      parts: parts.map { ($0.name, $0.offset, $0.shape) }, master: master, gradient: gradientSums,
      compute: roundedCopy ?? master)
  }
}
