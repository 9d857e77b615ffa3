internal import CKernels

// Shapes: T tokens, D width.

/// Root mean square normalization of rows: `y = x · rstd · gain`, statistics in float32.
/// - Returns: `y [T, D]` and `rstd [T]`, float32.
package func rmsNorm(
  _ xTD: Tensor, gain: Tensor, epsilon: Float, travels: Bool = false
) -> (y: Tensor, rstd: Tensor) {
  let y = RowOutput(xTD.shape, xTD.dtype, nil, travels: travels, on: xTD.device)
  return (y.numbers!, rmsNorm(xTD, gain, epsilon, into: y))
}

/// ``rmsNorm(_:gain:epsilon:)`` with y as codes.
/// - Parameter statistics: counts what quantizing does, where it is asked for.
package func rmsNorm(
  _ xTD: Tensor, gain: Tensor, epsilon: Float, _ coding: RowCoding, travels: Bool = false,
  statistics: QuantizationStatistics? = nil
) -> (y: CodedRows, rstd: Tensor) {
  let y = RowOutput(xTD.shape, xTD.dtype, coding, travels: travels, on: xTD.device)
  let rstd = rmsNorm(xTD, gain, epsilon, into: y, statistics)
  return (y.coded!, rstd)
}

private func rmsNorm(
  _ xTD: Tensor, _ gain: Tensor, _ epsilon: Float, into y: RowOutput,
  _ statistics: QuantizationStatistics? = nil
) -> Tensor {
  let (rows, width, device) = (xTD.rows, xTD.columns, xTD.device)
  precondition(gain.count == width, "RMSNorm: gain \(gain.shape) for rows of \(width)")
  let rstd = Tensor([rows], on: device)
  let kernel = device.typed(xTD.dtype).rms_norm!
  let (g, r) = (gain.floats.baseAddress, rstd.floats.baseAddress)
  device.measured("RMSNorm", bytes: xTD.byteCount + y.byteCount + gain.byteCount + rstd.byteCount) {
    y.forEachRows(on: device, statistics: statistics) { rows, target in
      let first = rows.lowerBound
      kernel(xTD.row(first), g, target, r! + first, rows.count, width, epsilon)
    }
  }
  return rstd
}

/// The residual stream and its norm in one pass: `s = x + Σ branches`, rounded once, and ``rmsNorm(_:gain:epsilon:)``
/// of s.
/// - Parameters:
///   - branches: one or two.
///   - travels: whether y goes to other ranks.
package func residualNorm(
  _ xTD: Tensor, _ branches: [Tensor], gain: Tensor, epsilon: Float, travels: Bool = false
) -> (sum: Tensor, y: Tensor, rstd: Tensor) {
  let y = RowOutput(xTD.shape, xTD.dtype, nil, travels: travels, on: xTD.device)
  let (sum, rstd) = residualNorm(xTD, branches, gain, epsilon, into: y)
  return (sum, y.numbers!, rstd)
}

/// ``residualNorm(_:_:gain:epsilon:)`` with y as codes.
/// - Parameter statistics: counts what quantizing does, where it is asked for.
package func residualNorm(
  _ xTD: Tensor, _ branches: [Tensor], gain: Tensor, epsilon: Float, _ coding: RowCoding,
  travels: Bool = false, statistics: QuantizationStatistics? = nil
) -> (sum: Tensor, y: CodedRows, rstd: Tensor) {
  let y = RowOutput(xTD.shape, xTD.dtype, coding, travels: travels, on: xTD.device)
  let (sum, rstd) = residualNorm(xTD, branches, gain, epsilon, into: y, statistics)
  return (sum, y.coded!, rstd)
}

/// The sum that ``residualNorm(_:_:gain:epsilon:)`` takes, alone.
/// - Parameter branches: one or two.
package func residualSum(_ xTD: Tensor, _ branches: [Tensor]) -> Tensor {
  checkBranches(branches, of: xTD)
  let (sum, device, width) = (Tensor(xTD.shape, xTD.dtype, on: xTD.device), xTD.device, xTD.columns)
  let (a, b) = (branches[0], branches.dropFirst().first)
  let kernel = device.typed(xTD.dtype).residual_norm!
  device.measured("residual sum", bytes: (branches.count + 2) * sum.byteCount) {
    device.forEachRows(xTD.rows, width: width) { rows in
      let first = rows.lowerBound
      kernel(
        xTD.row(first), a.row(first), b?.row(first), sum.row(first), nil, nil, nil, rows.count, width, 0)
    }
  }
  return sum
}

private func checkBranches(_ branches: [Tensor], of xTD: Tensor) {
  precondition(
    (1...2).contains(branches.count)
      && branches.allSatisfy { $0.shape == xTD.shape && $0.dtype == xTD.dtype },
    "residual norm: \(branches.map(\.shape)) added to \(xTD.shape)")
}

private func residualNorm(
  _ xTD: Tensor, _ branches: [Tensor], _ gain: Tensor, _ epsilon: Float, into y: RowOutput,
  _ statistics: QuantizationStatistics? = nil
) -> (sum: Tensor, rstd: Tensor) {
  let (rows, width, device) = (xTD.rows, xTD.columns, xTD.device)
  precondition(gain.count == width, "residual norm: gain \(gain.shape) for rows of \(width)")
  checkBranches(branches, of: xTD)
  let sum = Tensor(xTD.shape, xTD.dtype, on: device)
  let rstd = Tensor([rows], on: device)
  let kernel = device.typed(xTD.dtype).residual_norm!
  let (g, r) = (gain.floats.baseAddress, rstd.floats.baseAddress)
  let (a, b) = (branches[0], branches.dropFirst().first)
  let bytes = (branches.count + 2) * sum.byteCount + y.byteCount + gain.byteCount + rstd.byteCount
  device.measured("residual RMSNorm", bytes: bytes) {
    y.forEachRows(on: device, statistics: statistics) { rows, target in
      let first = rows.lowerBound
      kernel(
        xTD.row(first), a.row(first), b?.row(first), sum.row(first), g, target, r! + first, rows.count, width,
        epsilon)
    }
  }
  return (sum, rstd)
}

/// Rows whose gain gradients are summed at once: sums of a fixed number of rows are added in order, whatever the
/// number of threads.
private let gainBlock = 32

/// The gradients of ``rmsNorm(_:gain:epsilon:)``: dx, and dgain `[D]` float32.
///
/// - Parameters:
///   - residual: a gradient that x has received on another way and that dx is added to; nil for none.
///   - dx: where the result goes; may be the residual itself. nil for new memory.
package func rmsNormGradient(
  _ dyTD: Tensor, _ xTD: Tensor, gain: Tensor, rstd: Tensor, residual: Tensor? = nil, into dx: Tensor? = nil
) -> (dx: Tensor, dgain: Tensor) {
  let (rows, width, device) = (xTD.rows, xTD.columns, xTD.device)
  let dx = dx ?? Tensor(xTD.shape, xTD.dtype, on: device)
  precondition(
    [dyTD, residual ?? dyTD, dx].allSatisfy { $0.count == xTD.count && $0.dtype == xTD.dtype },
    "RMSNorm: gradients \(dyTD.shape), \(residual?.shape ?? dyTD.shape) of \(xTD.shape) \(xTD.dtype)")
  let blocks = (rows + gainBlock - 1) / gainBlock
  let partial = Tensor([max(blocks, 1), width], on: device)
  let kernel = device.typed(xTD.dtype).rms_norm_gradient!
  let (g, r) = (gain.floats.baseAddress, rstd.floats.baseAddress)
  let bytes = (residual == nil ? 3 : 4) * dx.byteCount + gain.byteCount + rstd.byteCount
  device.measured("RMSNorm gradient", bytes: bytes) {
    device.workers.forEach(blocks) { block in
      let first = block * gainBlock
      kernel(
        dyTD.row(first), xTD.row(first), g, r! + first, residual?.row(first), dx.row(first),
        partial.floats.baseAddress! + block * width, min(gainBlock, rows - first), width)
    }
  }
  return (dx, blocks == 0 ? .zeros([width], on: device) : partial.sumOfRows())
}
