internal import Model

/// The `optimizer` section.
package struct OptimizerSection: Sendable, Hashable {
  package var name = Name.adamw
  package var beta1 = 0.9
  package var beta2 = 0.95
  package var epsilon = 1e-8
  package var weightDecay = 0.1
  package var clipNorm = 1.0
  package var moments = Storage.bfloat16

  package init() {}

  package enum Name: String, Sendable, CaseIterable {
    case adamw
  }

  /// How the two moments are stored; they are computed in float32.
  package enum Storage: String, Sendable, CaseIterable {
    case float32, bfloat16
  }

  static let schema = Schema<OptimizerSection>(
    initial: OptimizerSection(),
    fields: [
      .init("name", \.name, .choice(Name.self), "update rule"),
      .init("beta1", \.beta1, .float(.fraction), "decay of the first moment"),
      .init("beta2", \.beta2, .float(.fraction), "decay of the second moment"),
      .init("epsilon", \.epsilon, .float(.positive), "added to the root of the second moment"),
      .init(
        "weight_decay", \.weightDecay, .float(.notNegative), "decay of matrices, times the learning rate"),
      .init("clip_norm", \.clipNorm, .float(.positive), "greatest norm of the whole gradient"),
      .init("moments", \.moments, .choice(Storage.self), "how the moments are stored"),
    ])
}
