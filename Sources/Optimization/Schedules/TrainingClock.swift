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
    let (done, tokens) = endOfRamp(steps: steps, tokens: .max)
    let rest = (steps - done).multipliedReportingOverflow(by: batch.to * sequenceLength)
    let sum = tokens.addingReportingOverflow(rest.partialValue)
    return rest.overflow || sum.overflow ? .max : sum.partialValue
  }

  /// The first number of steps that reaches `tokens`.
  package func steps(reaching tokens: Int) -> Int {
    let (done, passed) = endOfRamp(steps: .max, tokens: tokens)
    return done + Self.quotientRoundedUp(max(0, tokens - passed), batch.to * sequenceLength)
  }

  /// The last step of a phase that ends there, which may be the one of another end too.
  package func lastStep(until end: LearningRateSchedule.End) -> Int {
    switch end {
    case .step(let step): return step
    case .tokens(let count):
      let steps = steps(reaching: count)
      return tokens(afterSteps: steps) == count ? steps : steps - 1
    }
  }

  /// Where the ramp ends, or where `steps` or `tokens` are reached in it.
  ///
  /// Goes from one batch size to the next, not from step to step: a ramp may have 10¹² steps, but has at most
  /// (`to` − `from`) / `multiple` sizes.
  private func endOfRamp(steps limit: Int, tokens target: Int) -> (steps: Int, tokens: Int) {
    var steps = 0
    var tokens = 0
    while !batch.isConstant, tokens < min(batch.overTokens, target), steps < limit {
      let perStep = tokensOfStep(after: tokens)
      let end = min(batch.plateauEnd(after: tokens, multiple: multiple), target)
      let count = min(Self.quotientRoundedUp(end - tokens, perStep), limit - steps)
      steps += count
      // The last step of the longest ramp may end beyond what can be counted.
      let gone = count.multipliedReportingOverflow(by: perStep)
      let sum = tokens.addingReportingOverflow(gone.partialValue)
      tokens = gone.overflow || sum.overflow ? .max : sum.partialValue
    }
    return (steps, tokens)
  }

  private static func quotientRoundedUp(_ count: Int, _ divisor: Int) -> Int {
    count / divisor + (count % divisor == 0 ? 0 : 1)
  }
}
