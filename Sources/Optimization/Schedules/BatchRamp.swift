/// The global batch size, in sequences, as a function of the tokens that have been trained on.
package struct BatchRamp: Sendable, Hashable {
  /// The size at the start.
  package var from: Int
  /// The size from `overTokens` on.
  package var to: Int
  /// The tokens that the size takes, linearly, from one to the other; 0 for a constant size.
  package var overTokens: Int

  package init(from: Int, to: Int, overTokens: Int) {
    precondition(from >= 1 && to >= 1 && overTokens >= 0, "batch ramp \(from), \(to), \(overTokens)")
    self.from = from
    self.to = to
    self.overTokens = overTokens
  }

  package static func constant(_ size: Int) -> BatchRamp { BatchRamp(from: size, to: size, overTokens: 0) }

  package var isConstant: Bool { from == to || overTokens == 0 }

  /// DeepSeek-V3: 3072 to 15360 sequences over the first 469 billion tokens.
  ///
  /// Source: arXiv 2412.19437, §4.2. The shape of the ramp is not published; linear in tokens is ours.
  package static let deepSeekV3 = BatchRamp(from: 3072, to: 15_360, overTokens: 469_000_000_000)

  /// The sequences of the step that begins after `tokens`: the ramp, rounded down to whole multiples.
  ///
  /// - Parameter multiple: the sequences of one micro-batch on all data-parallel ranks; it divides both
  ///   ends of the ramp, so that rounding never leaves the range between them.
  package func size(tokens: Int, multiple: Int) -> Int {
    precondition(
      multiple >= 1 && from.isMultiple(of: multiple) && to.isMultiple(of: multiple),
      "batch sizes \(from) and \(to) must be multiples of \(multiple)")
    guard tokens < overTokens else { return to }
    // In 128 bits, for the product of two large counts; exact, so that no rank rounds differently.
    let product = abs(to - from).multipliedFullWidth(by: tokens)
    let gone = overTokens.dividingFullWidth(product)
    // Down, whichever way the ramp goes.
    let size = to >= from ? from + gone.quotient : from - gone.quotient - (gone.remainder > 0 ? 1 : 0)
    return size - size % multiple
  }

  /// The first count of tokens after `tokens` from which on the size is another one, or the ramp is over.
  ///
  /// - Parameter tokens: less than `overTokens`.
  func plateauEnd(after tokens: Int, multiple: Int) -> Int {
    precondition(tokens < overTokens, "the ramp of \(overTokens) tokens is over at \(tokens)")
    let size = size(tokens: tokens, multiple: multiple)
    guard size != to else { return overTokens }
    // A rising ramp has the next size once it reaches it, a falling one once it is below this one.
    let distance = to > from ? size + multiple - from : from - size
    let product = distance.multipliedFullWidth(by: overTokens)
    let reached = abs(to - from).dividingFullWidth(product)
    return to > from ? reached.quotient + (reached.remainder > 0 ? 1 : 0) : reached.quotient + 1
  }
}
