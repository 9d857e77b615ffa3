internal import CKernels

/// Causal softmax attention; query i of a sequence sees keys 0...(keys − queries + i), or those of its document alone.
///
/// - Parameters:
///   - q: `[B·Q, H·(nope + rope)]`, not yet rotated.
///   - kv: `[B·K, H·(nope + value)]`, each head's key and value.
///   - kr: `[B·K, rope]`, the rotary key that all heads share, not yet rotated; never broadcast in memory.
///   - documents: `[B·Q]` int32, the first key that each query sees, never decreasing within a sequence; nil for 0.
/// - Returns: `o [B·Q, H·value]` and `normalizers [B, H, Q, 2]` float32, of each softmax its largest exponent and the
///   inverse of its sum. Scores exist for a block of queries at once: memory is linear in the sequence.
package func attention(
  _ q: Tensor, _ kv: Tensor, _ kr: Tensor, _ shape: AttentionShape, _ table: RotaryTable,
  documents: Tensor? = nil
) -> (o: Tensor, normalizers: Tensor) {
  let device = q.device
  let o = Tensor([q.rows, shape.heads * shape.value], q.dtype, on: device)
  let normalizers = Tensor([shape.sequences, shape.heads, shape.queries, 2], on: device)
  let heads = HeadAccess(q: q, kv: kv, kr: kr, shape: shape, table: table)
  let blocks = AttentionBlocks(shape, device.products(q.dtype, kv.dtype), documents)
  let kernels = blocks.kernels
  let scratch = Scratch(
    sizes: [
      shape.keys * shape.width, BlockProducts.panelFloats(kernels, k: shape.width, n: shape.keys),
      BlockProducts.panelFloats(kernels, k: shape.keys, n: shape.value), blocks.rows * shape.width,
      blocks.rows * blocks.scoreColumns,
      BlockProducts.scratchFloats(kernels, k: max(shape.width, shape.keys)),
    ], threads: device.workers.threads, on: device)
  device.measured(
    "attention", .attention, bytes: q.byteCount + kv.byteCount + kr.byteCount + o.byteCount,
    flops: shape.products * Double(shape.width + shape.value)
  ) {
    device.workers.forEach(shape.sequences * shape.heads) { item, thread in
      let s = scratch.buffers(thread)
      let (k, qb, scores) = (s[0], s[3], s[4])
      let products = BlockProducts(kernels: kernels, scratch: s[5])
      heads.packKeys(item, k)
      let keys = products.pack(
        k, .float32, shape.width, transposed: true, k: shape.width, n: shape.keys, into: s[1])
      let values = products.pack(
        heads.values(item), kv.dtype, kv.columns, transposed: false, k: shape.keys, n: shape.value, into: s[2]
      )
      for block in blocks.all(item) {
        heads.packQueries(item, block.begin, block.count, qb)
        blocks.forEachPanel(block) { row, rows, seen in
          products.multiply(
            qb + row * shape.width, shape.width, rows: rows, keys, k: 0..<shape.width,
            columns: block.low..<block.low + kernels.paddedColumns(seen),
            scores + row * blocks.scoreColumns, blocks.scoreColumns, hadal_store_float32)
        }
        let normalizer = normalizers.floats.baseAddress! + 2 * (item * shape.queries + block.begin)
        device.kernels.pointee.causal_softmax(
          scores, blocks.scoreColumns, block.count, block.starts, block.first - block.low, block.columns,
          shape.scale, normalizer)
        blocks.forEachPanel(block) { row, rows, seen in
          products.multiply(
            scores + row * blocks.scoreColumns, blocks.scoreColumns, rows: rows, values,
            k: block.low..<block.low + seen, columns: 0..<shape.value,
            heads.output(item, block.begin + row, o), o.columns,
            o.dtype == .float32 ? hadal_store_float32 : hadal_store_bfloat16)
        }
      }
    }
  }
  return (o, normalizers)
}
