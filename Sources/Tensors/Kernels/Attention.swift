internal import CKernels

/// The sizes of multi-head latent attention, and how its rotary part is stored.
package struct AttentionShape: Sendable {
  /// Independent sequences, rows of q and of kv in each.
  package var sequences, queries, keys: Int
  package var heads: Int
  /// Per head: plain and rotary width of q and k, width of v.
  package var nope, rope, value: Int
  /// Multiplies the products of q and k.
  package var scale: Float
  /// Whether rotary pairs are adjacent elements; else element j pairs with j + rope/2.
  package var interleaved: Bool

  package init(
    sequences: Int, queries: Int, keys: Int, heads: Int, nope: Int, rope: Int, value: Int, scale: Float,
    interleaved: Bool
  ) {
    (self.sequences, self.queries, self.keys, self.heads) = (sequences, queries, keys, heads)
    (self.nope, self.rope, self.value) = (nope, rope, value)
    (self.scale, self.interleaved) = (scale, interleaved)
  }

  fileprivate var width: Int { nope + rope }
}

/// cos and sin of position · frequency, `[positions, rope / 2]` each, float32.
package struct RotaryTable {
  package let cosine, sine: Tensor

  /// - Parameters:
  ///   - frequencies: radians per position of each pair.
  ///   - magnitude: factor on cos and sin (YaRN's attention factor; 1 for DeepSeek).
  package init(positions: Int, frequencies: [Double], magnitude: Double, on device: Device) {
    // Angles in float32, as in every program that trains or runs these models: exact ones differ from those by
    // 6e-8 of the position, which at long rows is more than all other rounding together.
    let angles = (0..<positions).flatMap { p in frequencies.map { Double(Float(p) * Float($0)) } }
    let shape = [positions, frequencies.count]
    cosine = Tensor(shape, angles.map { Float(cosOf($0) * magnitude) }, on: device)
    sine = Tensor(shape, angles.map { Float(sinOf($0) * magnitude) }, on: device)
  }
}

/// Rows of queries whose scores exist at once: the only memory that grows with the sequence is linear in it.
private let queryBlock = 64

/// Causal softmax attention; query i of a sequence sees keys 0...(keys − queries + i).
///
/// - Parameters:
///   - q: `[B·Q, H·(nope + rope)]`, not yet rotated.
///   - kv: `[B·K, H·(nope + value)]`, each head's key and value.
///   - kr: `[B·K, rope]`, the rotary key that all heads share, not yet rotated.
/// - Returns: `o [B·Q, H·value]` and `normalizers [B, H, Q, 2]` float32, of
///   each softmax its largest exponent and the inverse of its sum.
package func attention(
  _ q: Tensor, _ kv: Tensor, _ kr: Tensor, _ shape: AttentionShape, _ table: RotaryTable
) -> (o: Tensor, normalizers: Tensor) {
  let device = q.device
  let o = Tensor([q.rows, shape.heads * shape.value], q.dtype, on: device)
  let normalizers = Tensor([shape.sequences, shape.heads, shape.queries, 2], on: device)
  let heads = HeadAccess(q: q, kv: kv, kr: kr, shape: shape, table: table)
  let sizes = [
    shape.keys * shape.width, shape.keys * shape.value, queryBlock * shape.width,
    queryBlock * shape.keys, queryBlock * shape.value,
  ]
  let blas = device.blas
  let scratch = Scratch(sizes: sizes, threads: device.workers.threads, on: device)
  device.workers.forEach(shape.sequences * shape.heads) { item, thread in
    let s = scratch.buffers(thread)
    let (k, v, qb, scores, ob) = (s[0], s[1], s[2], s[3], s[4])
    heads.packKeys(item, k)
    heads.packValues(item, v)
    for begin in stride(from: 0, to: shape.queries, by: queryBlock) {
      let rows = min(queryBlock, shape.queries - begin)
      let first = shape.keys - shape.queries + begin
      let seen = first + rows
      heads.packQueries(item, begin, rows, qb)
      blas.multiply(.nt, m: rows, n: seen, k: shape.width, qb, shape.width, k, shape.width, scores, seen)
      device.kernels.pointee.causal_softmax(
        scores, seen, rows, first, seen, shape.scale,
        normalizers.floats.baseAddress! + 2 * (item * shape.queries + begin))
      blas.multiply(.nn, m: rows, n: shape.value, k: seen, scores, seen, v, shape.value, ob, shape.value)
      heads.unpackOutput(item, begin, rows, ob, o)
    }
  }
  return (o, normalizers)
}

/// The gradients of ``attention(_:_:_:_:_:)``: dq, dkv, dkr in the shapes of q, kv, kr. Scores are computed anew
/// from the normalizers; sums in float32.
package func attentionGradient(
  _ dO: Tensor, _ q: Tensor, _ kv: Tensor, _ kr: Tensor, o: Tensor, normalizers: Tensor,
  _ shape: AttentionShape,
  _ table: RotaryTable
) -> (dq: Tensor, dkv: Tensor, dkr: Tensor) {
  let device = q.device
  precondition(shape.queries == shape.keys, "attention with a cache has no gradient")
  let (dq, dkv) = (Tensor(q.shape, q.dtype, on: device), Tensor(kv.shape, kv.dtype, on: device))
  let (rows, width, value) = (shape.keys, shape.width, shape.value)
  let heads = HeadAccess(q: q, kv: kv, kr: kr, shape: shape, table: table)
  // The shared key's gradient, still rotated, head by head: [B, H, K, rope].
  let dkrHeads = Tensor([shape.sequences, shape.heads, rows, shape.rope], on: device)
  let block = queryBlock * rows
  let sizes = [
    rows * width, rows * value, rows * width, rows * value, queryBlock * width, queryBlock * value,
    queryBlock * value, block, block, queryBlock * width, queryBlock,
  ]
  let blas = device.blas
  let scratch = Scratch(sizes: sizes, threads: device.workers.threads, on: device)
  device.workers.forEach(shape.sequences * shape.heads) { item, thread in
    let s = scratch.buffers(thread)
    let (k, v, dk, dv, qb, ob, dob) = (s[0], s[1], s[2], s[3], s[4], s[5], s[6])
    let (p, ds, dqb, delta) = (s[7], s[8], s[9], s[10])
    heads.packKeys(item, k)
    heads.packValues(item, v)
    dk.update(repeating: 0, count: rows * width)
    dv.update(repeating: 0, count: rows * value)
    for begin in stride(from: 0, to: rows, by: queryBlock) {
      let count = min(queryBlock, rows - begin)
      let seen = begin + count
      heads.packQueries(item, begin, count, qb)
      heads.packOutput(item, begin, count, o, ob)
      heads.packOutput(item, begin, count, dO, dob)
      device.kernels.pointee.row_dot(dob, ob, count, value, delta)
      blas.multiply(.nt, m: count, n: seen, k: width, qb, width, k, width, p, seen)
      blas.multiply(.nt, m: count, n: seen, k: value, dob, value, v, value, ds, seen)
      device.kernels.pointee.causal_softmax_gradient(
        p, ds, seen, count, begin, seen, shape.scale,
        normalizers.floats.baseAddress! + 2 * (item * rows + begin), delta)
      blas.multiply(.nn, m: count, n: width, k: seen, ds, seen, k, width, dqb, width)
      blas.multiply(.tn, m: seen, n: width, k: count, ds, seen, qb, width, dk, width, accumulate: true)
      blas.multiply(.tn, m: seen, n: value, k: count, p, seen, dob, value, dv, value, accumulate: true)
      heads.unpackQueries(item, begin, count, dqb, dq)
    }
    heads.unpackKeysAndValues(item, dk, dv, dkv, dkrHeads)
  }
  return (dq, dkv, heads.sumSharedKey(dkrHeads))
}
