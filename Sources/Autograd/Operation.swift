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
  /// What forward gives: numbers, unless the readers read codes.
  associatedtype Output: OperationOutput = Tensor

  static var name: String { get }
  /// Whether the output may be forgotten, for ``outputAgain(_:_:)`` has it again, or nobody will ask. Not where forward
  /// adds to gradients itself.
  static var isRecomputable: Bool { get }

  /// Whether `inputGradient` starts to send something, and a later one waits for what comes back.
  static var sendsBackward: Bool { get }

  /// The inputs that receive gradients, in the order of `inputGradient`'s result.
  static func variables(_ inputs: Inputs) -> [Variable]

  /// - Parameter recording: whether a backward pass will follow.
  static func forward(_ inputs: Inputs, recording: Bool) -> (output: Output, saved: Saved)

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

  package static var sendsBackward: Bool { false }

  package static func furtherOutputs(_: Saved) -> [Variable] { [] }

  package static func weightGradient(_: Tensor, _: Inputs, _: Saved, _: Carried) {}
}

extension Operation where Output == Tensor {
  package static func outputAgain(_ inputs: Inputs, _: Saved) -> Tensor {
    forward(inputs, recording: true).output
  }
}

/// An output as an operation writes it.
package protocol OperationOutput {
  /// nil where only codes were written: who reads the value has it computed again.
  var numbers: Tensor? { get }
  var codedRows: CodedRows? { get }
}

extension Tensor: OperationOutput {
  package var numbers: Tensor? { self }
  package var codedRows: CodedRows? { nil }
}

/// Numbers, or codes with or without them, as the readers are.
package enum RowsOutput: OperationOutput {
  case numbers(Tensor)
  case coded(CodedRows)

  package var numbers: Tensor? {
    switch self {
    case .numbers(let tensor): tensor
    case .coded(let rows): rows.numbers
    }
  }

  package var codedRows: CodedRows? {
    switch self {
    case .numbers: nil
    case .coded(let rows): rows
    }
  }
}

/// Every operation there is. The gradient test walks this list (those of codes and of messages have tests of their own), and another
/// compares it with the files.
package var allOperations: [any Operation.Type] {
  [
    CombineFinish.self, CombineStart.self, Concatenation.self, CrossEntropyHead.self, DispatchFinish.self,
    DispatchStart.self, Embedding.self, Experts.self, LatentAttention.self, Linear.self,
    QuantizedExperts.self, QuantizedLinear.self, RMSNorm.self, ResidualNorm.self, ResidualSum.self,
    RowMask.self, Router.self, Split.self, SwiGLU.self, TokenSlices.self,
  ]
}
