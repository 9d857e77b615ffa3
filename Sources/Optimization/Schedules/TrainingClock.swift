/// Turns steps into tokens and back, which a growing batch makes a sum instead of a product.
package struct TrainingClock: Sendable, Hashable {
  package let batch: BatchRamp
  /// The sequences of one micro-batch on all data-parallel ranks.
  package let multiple: Int
  /// Tokens.
  package let sequenceLength: Int

  package init(batch: BatchRamp, multiple: Int, sequenceLength: Int) {
    precondition(sequenceLength >= 1, "sequence length \(sequenceLength)")
    self.batch = batch
    self.multiple = multiple
    self.sequenceLength = sequenceLength
  }

  /// The tokens of the step that begins after `tokens`.
  package func tokensOfStep(after tokens: Int) -> Int {
    batch.size(tokens: tokens, multiple: multiple) * sequenceLength
  }

  /// The tokens trained on by `steps` steps from the start of a run; `Int.max` if that is no number.
  package func tokens(afterSteps steps: Int) -> Int {
    let (done, tokens) = walk { done, _ in done == steps }
    let rest = (steps - done).multipliedReportingOverflow(by: batch.to * sequenceLength)
    let sum = tokens.addingReportingOverflow(rest.partialValue)
    return rest.overflow || sum.overflow ? .max : sum.partialValue
  }

  /// The first number of steps that reaches `tokens`.
  package func steps(reaching tokens: Int) -> Int {
    let (done, passed) = walk { _, passed in passed >= tokens }
    let perStep = batch.to * sequenceLength
    let missing = max(0, tokens - passed)
    return done + missing / perStep + (missing % perStep == 0 ? 0 : 1)
  }

  /// Goes step by step through the ramp, until it ends or `isEnough(steps, tokens)`.
  private func walk(until isEnough: (Int, Int) -> Bool) -> (steps: Int, tokens: Int) {
    var steps = 0
    var tokens = 0
    while !batch.isConstant, tokens < batch.overTokens, !isEnough(steps, tokens) {
      steps += 1
      tokens += tokensOfStep(after: tokens)
    }
    return (steps, tokens)
  }
}
