internal import CKernels

/// What ``crossEntropyHead(_:_:labels:scale:packed:gradients:)`` gives.
package struct CrossEntropyResult {
  /// −log p(label) of each row, 0 where the label is ignored; float32 `[T]`.
  package let losses: Tensor
  /// `Σ_t scale_t · loss_t`, in float64.
  package let objective: Double
  /// The gradient by the input; nil when none was asked for.
  package let inputGradient: Tensor?
}

/// Logits that exist at once, in elements: 8 M, 32 MB. Each chunk reads the weight twice and adds to its whole gradient.
private let logitsBudget = 1 << 23

/// Cross-entropy of `logits = h Wᵀ`, chunk by chunk: the logits of the whole batch never exist at once.
///
/// `h [T, D]`, `W [V, D]`; a negative label is ignored. Logits, softmax and sums in float32.
/// - Parameters:
///   - scale: factor of each row's loss in the objective, `[T]` float32.
///   - packed: what keeps the panels of W; nil to pack it for each chunk.
///   - gradients: nil for the losses alone; else where `dW` goes (float32 `[V, D]`).
package func crossEntropyHead(
  _ hTD: Tensor, _ weightVD: Tensor, labels: Tensor, scale: Tensor, packed: PackedWeights? = nil,
  gradients target: ProductTarget?
) -> CrossEntropyResult {
  let (rows, width, vocabulary) = (hTD.rows, hTD.columns, weightVD.rows)
  let device = hTD.device
  precondition(rows > 0, "a head without rows would leave its gradient unwritten")
  let losses = Tensor([rows], on: device)
  let dh = target.map { _ in Tensor(hTD.shape, hTD.dtype, on: device) }
  let chunk = max(64, logitsBudget / vocabulary)
  var target = target
  for begin in stride(from: 0, to: rows, by: chunk) {
    let count = min(chunk, rows - begin)
    let h = hTD.view(at: begin * width, [count, width])
    let logits = matmul(h, weightVD, .nt, output: .float32, packed: packed)
    softmaxLoss(
      logits, labels.view(at: begin, [count]), scale.view(at: begin, [count]),
      losses.view(at: begin, [count]), gradient: dh != nil)
    guard let dh, let into = target else { continue }
    // The logits have become their gradient; from here on it is rounded as an activation is.
    let dLogits = logits.converted(to: hTD.dtype)
    matmul(
      dLogits, weightVD, .nn, into: (dh.view(at: begin * width, [count, width]), false), packed: packed)
    matmul(dLogits, h, .tn, into: into)
    target = (into.sums, true)
  }
  return CrossEntropyResult(losses: losses, objective: losses.sum(weight: scale), inputGradient: dh)
}

private func softmaxLoss(
  _ logits: Tensor, _ labels: Tensor, _ scale: Tensor, _ losses: Tensor, gradient: Bool
) {
  let (device, width) = (logits.device, logits.columns)
  let (label, factor) = (labels.elements(Int32.self).baseAddress!, scale.floats.baseAddress!)
  let (x, loss) = (logits.floats.baseAddress!, losses.floats.baseAddress!)
  device.measured("softmax loss", bytes: (gradient ? 2 : 1) * logits.byteCount) {
    device.forEachRows(logits.rows, width: width) { range in
      let first = range.lowerBound
      device.kernels.pointee.cross_entropy(
        x + first * width, range.count, width, label + first, factor + first, gradient, loss + first)
    }
  }
}
