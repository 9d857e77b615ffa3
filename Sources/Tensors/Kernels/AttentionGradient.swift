internal import CKernels

/// The gradients of ``attention(_:_:_:_:_:documents:)``: dq, dkv, dkr in the shapes of q, kv, kr. Scores are computed
/// anew from the normalizers; sums in float32.
package func attentionGradient(
  _ dO: Tensor, _ q: Tensor, _ kv: Tensor, _ kr: Tensor, o: Tensor, normalizers: Tensor,
  _ shape: AttentionShape, _ table: RotaryTable, documents: Tensor? = nil
) -> (dq: Tensor, dkv: Tensor, dkr: Tensor) {
  let device = q.device
  precondition(shape.queries == shape.keys, "attention with a cache has no gradient")
  let (dq, dkv) = (Tensor(q.shape, q.dtype, on: device), Tensor(kv.shape, kv.dtype, on: device))
  let heads = HeadAccess(q: q, kv: kv, kr: kr, shape: shape, table: table)
  let blocks = AttentionBlocks(shape, device.products(q.dtype, kv.dtype), documents)
  // The shared key's gradient, still rotated, head by head: [B, H, K, rope].
  let dkrHeads = Tensor([shape.sequences, shape.heads, shape.keys, shape.rope], on: device)
  let head = HeadGradient(
    heads: heads, blocks: blocks, o: o, dO: dO, normalizers: normalizers, dq: dq, device: device)
  let scratch = Scratch(sizes: head.scratchSizes, threads: device.workers.threads, on: device)
  let bytes = 2 * (q.byteCount + kv.byteCount + kr.byteCount) + 2 * o.byteCount
  device.measured(
    "attention gradient", .attention, bytes: bytes,
    flops: shape.products * Double(3 * shape.width + 2 * shape.value)
  ) {
    device.workers.forEach(shape.sequences * shape.heads) { item, thread in
      let s = scratch.buffers(thread)
      head.run(item, s)
      heads.unpackKeysAndValues(item, s[1], s[2], dkv, dkrHeads)
    }
  }
  return (dq, dkv, heads.sumSharedKey(dkrHeads))
}

/// The backward pass of one head of one sequence.
private struct HeadGradient {
  let heads: HeadAccess
  let blocks: AttentionBlocks
  let o, dO, normalizers, dq: Tensor
  let device: Device

  private var shape: AttentionShape { heads.shape }
  private var kernels: hadal_product_kernels { blocks.kernels }

  /// k, dk, dv; packed Kᵀ, K, Vᵀ; of a block q, o, dO, p, ds, dq, packed q and dO, delta; a panel of A.
  var scratchSizes: [Int] {
    let (keys, width, value) = (shape.keys, shape.width, shape.value)
    let scores = blocks.rows * blocks.scoreColumns
    return [
      keys * width, keys * width, keys * value,
      BlockProducts.panelFloats(kernels, k: width, n: keys),
      BlockProducts.panelFloats(kernels, k: keys, n: width),
      BlockProducts.panelFloats(kernels, k: value, n: keys),
      blocks.rows * width, blocks.rows * value, blocks.rows * value, scores, scores, blocks.rows * width,
      BlockProducts.panelFloats(kernels, k: blocks.rows, n: width),
      BlockProducts.panelFloats(kernels, k: blocks.rows, n: value), blocks.rows,
      BlockProducts.scratchFloats(kernels, k: max(width, value, keys, blocks.rows)),
    ]
  }

  /// Leaves dk in s[1] and dv in s[2], and stores dq.
  func run(_ item: Int, _ s: [UnsafeMutablePointer<Float>]) {
    let (keys, width, value) = (shape.keys, shape.width, shape.value)
    let products = BlockProducts(kernels: kernels, scratch: s[15])
    heads.packKeys(item, s[0])
    s[1].update(repeating: 0, count: keys * width)
    s[2].update(repeating: 0, count: keys * value)
    let keyColumns = products.pack(s[0], .float32, width, transposed: true, k: width, n: keys, into: s[3])
    let keyRows = products.pack(s[0], .float32, width, transposed: false, k: keys, n: width, into: s[4])
    let v = heads.values(item)
    let valueColumns = products.pack(
      v, heads.kv.dtype, heads.kv.columns, transposed: true, k: value, n: keys, into: s[5])
    let (qb, ob, dob, p, ds, dqb) = (s[6], s[7], s[8], s[9], s[10], s[11])
    let lds = blocks.scoreColumns
    for block in blocks.all(item) {
      heads.packQueries(item, block.begin, block.count, qb)
      heads.packOutput(item, block.begin, block.count, o, ob)
      heads.packOutput(item, block.begin, block.count, dO, dob)
      device.kernels.pointee.row_dot(dob, ob, block.count, value, s[14])
      blocks.forEachPanel(block) { row, rows, seen in
        let columns = block.low..<block.low + kernels.paddedColumns(seen)
        products.multiply(
          qb + row * width, width, rows: rows, keyColumns, k: 0..<width, columns: columns, p + row * lds, lds,
          hadal_store_float32)
        products.multiply(
          dob + row * value, value, rows: rows, valueColumns, k: 0..<value, columns: columns, ds + row * lds,
          lds,
          hadal_store_float32)
      }
      let normalizer = normalizers.floats.baseAddress! + 2 * (item * keys + block.begin)
      device.kernels.pointee.causal_softmax_gradient(
        p, ds, lds, block.count, block.starts, block.first - block.low, block.columns, shape.scale,
        normalizer,
        s[14])
      blocks.forEachPanel(block) { row, rows, seen in
        products.multiply(
          ds + row * lds, lds, rows: rows, keyRows, k: block.low..<block.low + seen, columns: 0..<width,
          dqb + row * width, width, hadal_store_float32)
      }
      heads.unpackQueries(item, block.begin, block.count, dqb, dq)
      let q = products.pack(qb, .float32, width, transposed: false, k: block.count, n: width, into: s[12])
      let d = products.pack(dob, .float32, value, transposed: false, k: block.count, n: value, into: s[13])
      addKeyGradients(block, products, q: q, dO: d, p: p, ds: ds, dk: s[1], dv: s[2])
    }
  }

  /// `dk += dsᵀ q`, `dv += pᵀ dO` for the keys that a block of queries sees.
  private func addKeyGradients(
    _ block: AttentionBlock, _ products: BlockProducts, q: BlockProducts.Panels, dO: BlockProducts.Panels,
    p: UnsafePointer<Float>, ds: UnsafePointer<Float>, dk: UnsafeMutablePointer<Float>,
    dv: UnsafeMutablePointer<Float>
  ) {
    let (lds, seen) = (blocks.scoreColumns, block.first + block.count)
    for key in stride(from: block.low, to: seen, by: Int(kernels.rows)) {
      let rows = min(Int(kernels.rows), seen - key)
      // Queries before this one do not see these keys.
      let begin = max(0, key - block.first) / 32 * 32
      let column = begin * lds + key - block.low
      products.multiply(
        ds + column, lds, transposed: true, rows: rows, q, k: begin..<block.count, columns: 0..<shape.width,
        dk + key * shape.width, shape.width, hadal_add_float32)
      products.multiply(
        p + column, lds, transposed: true, rows: rows, dO, k: begin..<block.count, columns: 0..<shape.value,
        dv + key * shape.value, shape.value, hadal_add_float32)
    }
  }
}
