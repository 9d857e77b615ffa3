package import Tensors

/// Weight gradients that a schedule may put off.
package struct WeightWork {
  package let operation: String
  package let run: () -> Void
}

/// Records the operations of one micro-batch on one stage, and runs them backward.
///
/// There is no global graph: several tapes are alive at once in a pipeline, and dropping one frees its activations.
package final class Tape {
  package let device: Device
  /// False for evaluation and generation: nothing is kept.
  package let isRecording: Bool
  private var entries: [any TapeEntry] = []

  package init(on device: Device, isRecording: Bool = true) {
    (self.device, self.isRecording) = (device, isRecording)
  }

  /// Runs an operation forward and records it.
  package func apply<Op: Operation>(_: Op.Type, _ inputs: Op.Inputs) -> (output: Variable, saved: Op.Saved) {
    device.profiler?.scope = "\(Op.name) · forward"
    let (result, saved) = Op.forward(inputs, recording: isRecording)
    // Without a backward pass nothing is forgotten: a recipe would only keep the inputs alive.
    let needsRecipe = Op.isRecomputable && (isRecording || result.numbers == nil)
    let output = Variable(result, recipe: needsRecipe ? { Op.outputAgain(inputs, saved) } : nil)
    guard isRecording else { return (output, saved) }
    entries.append(Entry<Op>(inputs: inputs, saved: saved, output: output))
    return (output, saved)
  }

  /// Calls `action` once backward has come back to this point and what was recorded later is done, its weight gradients
  /// too; where those are put off, the call is among them.
  package func whenPassed(_ action: @escaping () -> Void) {
    if isRecording { entries.append(Mark(action: action)) }
  }

  /// Runs backward from the given gradients to every input and parameter; the tape is empty afterwards.
  ///
  /// - Parameter queue: takes the weight gradients at its end, and runs them while there is nothing else to compute; nil:
  ///   they follow their input gradients.
  package func backward(from roots: [(Variable, Tensor)], leavingTo queue: WeightQueue? = nil) {
    guard let queue else { return backward(from: roots, owe: { $0.run() }, isOwing: { false }) }
    backward(
      from: roots, owe: { queue.add($0) }, isOwing: { !queue.isEmpty },
      messageWasSent: { queue.messageWasSent() })
  }

  /// The same without the weight gradients.
  ///
  /// - Parameter queue: takes these, and runs none before there is nothing else to compute, however many wait.
  /// - Returns: the weight gradients, oldest first; none where the queue has them.
  package func inputGradients(
    from roots: [(Variable, Tensor)], leavingTo queue: WeightQueue? = nil
  ) -> [WeightWork] {
    if let queue {
      backward(from: roots, owe: { queue.add($0) }, isOwing: { !queue.isEmpty })
      return []
    }
    var owed: [WeightWork] = []
    backward(from: roots, owe: { owed.append($0) }, isOwing: { !owed.isEmpty })
    return owed
  }

  private func backward(
    from roots: [(Variable, Tensor)], owe: (WeightWork) -> Void, isOwing: () -> Bool,
    messageWasSent: () -> Void = {}
  ) {
    precondition(isRecording, "backward on a tape that did not record")
    for (variable, gradient) in roots { variable.accumulate(gradient) }
    while let entry = entries.popLast() {
      if let work = entry.backward() { owe(work) }
      if entry.sendsBackward { messageWasSent() }
      for output in entry.outputs { output.retire(keepsValue: isOwing()) }
    }
  }
}

@available(*, unavailable)
extension Tape: Sendable {}

private protocol TapeEntry {
  /// The output, then the further ones.
  var outputs: [Variable] { get }
  /// Whether backward sends messages to other ranks.
  var sendsBackward: Bool { get }
  /// Sends the outputs' gradients to the inputs; nil when none arrived (no output was used).
  func backward() -> WeightWork?
}

private struct Mark: TapeEntry {
  let action: () -> Void
  var outputs: [Variable] { [] }
  var sendsBackward: Bool { false }

  func backward() -> WeightWork? { WeightWork(operation: "mark", run: action) }
}

private struct Entry<Op: Operation>: TapeEntry {
  let inputs: Op.Inputs
  let saved: Op.Saved
  let output: Variable

  var outputs: [Variable] { [output] + Op.furtherOutputs(saved) }
  var sendsBackward: Bool { Op.sendsBackward }

  func backward() -> WeightWork? {
    guard outputs.contains(where: { $0.gradient != nil }) else { return nil }
    let gradient =
      output.takeGradient() ?? .zeros(output.value.shape, output.value.dtype, on: output.value.device)
    let device = gradient.device
    device.profiler?.scope = "\(Op.name) · input gradient"
    let (gradients, carried) = Op.inputGradient(gradient, inputs, saved)
    device.profiler?.scope = "sums of gradients"
    for (variable, gradient) in zip(Op.variables(inputs), gradients) { variable.accumulate(gradient) }
    return WeightWork(operation: Op.name) { [inputs, saved] in
      // In the middle of another operation, where its messages are awaited.
      let interrupted = device.profiler?.scope
      device.profiler?.scope = "\(Op.name) · weight gradient"
      Op.weightGradient(gradient, inputs, saved, carried)
      if let interrupted { device.profiler?.scope = interrupted }
    }
  }
}
