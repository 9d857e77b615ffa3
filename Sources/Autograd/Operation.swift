package import Tensors

/// An operation and its derivative, stated side by side, one a file.
///
/// The derivative comes in two parts because a pipeline schedule runs them at different times: `inputGradient` is on
/// the critical path, `weightGradient` may be put off. An operation has one output that backward hands the gradient of;
/// one that gives more keeps the others in `Saved`, names them in ``furtherOutputs(_:)``, and takes their gradients.
package protocol Operation {
  /// Variables, parameters and settings. What backward needs of them it reads again from here.
  associatedtype Inputs
  /// What forward keeps for backward beside its inputs, and results that are not differentiated.
  associatedtype Saved
  /// What `inputGradient` leaves for `weightGradient`.
  associatedtype Carried = Void

  static var name: String { get }
  /// Whether forward may run again to recover its output. Not where it adds to gradients itself.
  static var isRecomputable: Bool { get }

  /// The inputs that receive gradients, in the order of `inputGradient`'s result.
  static func variables(_ inputs: Inputs) -> [Variable]

  /// - Parameter recording: whether a backward pass will follow.
  static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Saved)

  /// Results beside the output that later operations read and that receive gradients. None, for most operations.
  static func furtherOutputs(_ saved: Saved) -> [Variable]

  /// The output once more, after it was forgotten; forward again, where an operation has no cheaper way.
  static func outputAgain(_ inputs: Inputs, _ saved: Saved) -> Tensor

  /// The gradients by ``variables(_:)``.
  static func inputGradient(
    _ outputGradient: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Carried)

  /// Adds to the gradients of the parameters among the inputs. Operations without parameters have none.
  static func weightGradient(_ outputGradient: Tensor, _ inputs: Inputs, _ saved: Saved, _ carried: Carried)
}

extension Operation {
  package static var isRecomputable: Bool { true }

  package static func furtherOutputs(_: Saved) -> [Variable] { [] }

  package static func outputAgain(_ inputs: Inputs, _: Saved) -> Tensor {
    forward(inputs, recording: true).output
  }

  package static func weightGradient(_: Tensor, _: Inputs, _: Saved, _: Carried) {}
}

/// Every operation there is. The gradient test walks this list (those of codes and of messages have tests of their own), and another
/// compares it with the files.
package var allOperations: [any Operation.Type] {
  [
    CombineFinish.self, CombineStart.self, Concatenation.self, CrossEntropyHead.self, DispatchFinish.self,
    DispatchStart.self, Embedding.self, Experts.self, LatentAttention.self, Linear.self, QuantizedExperts.self, QuantizedLinear.self, RMSNorm.self,
    ResidualNorm.self, RowMask.self, Router.self, Split.self, SwiGLU.self, TokenSlices.self,
  ]
}
