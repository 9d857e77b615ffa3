internal import CKernels

/// Reads and writes one head of one sequence (`item` = sequence · heads + head) as contiguous float32.
struct HeadAccess {
  let q, kv, kr: Tensor
  let shape: AttentionShape
  let table: RotaryTable

  private var typed: hadal_typed_kernels { q.device.typed(q.dtype) }
  private var half: Int { shape.rope / 2 }
  private var cosine: UnsafePointer<Float> { UnsafePointer(table.cosine.floats.baseAddress!) }
  private var sine: UnsafePointer<Float> { UnsafePointer(table.sine.floats.baseAddress!) }

  private func place(_ x: Tensor, _ row: Int, _ column: Int) -> UnsafeMutableRawPointer {
    x.row(row) + column * x.dtype.byteCount
  }

  private func split(_ item: Int) -> (sequence: Int, head: Int) { (item / shape.heads, item % shape.heads) }

  func packKeys(_ item: Int, _ k: UnsafeMutablePointer<Float>) {
    let (sequence, head) = split(item)
    let row = sequence * shape.keys
    typed.pack_rotated(
      place(kv, row, head * (shape.nope + shape.value)), kv.columns, shape.nope, kr.row(row), kr.columns,
      half,
      cosine, sine, shape.interleaved, k, shape.keys)
  }

  /// A head's values, read in place: rows of kv's length.
  func values(_ item: Int) -> UnsafeMutableRawPointer {
    let (sequence, head) = split(item)
    return place(kv, sequence * shape.keys, head * (shape.nope + shape.value) + shape.nope)
  }

  func packQueries(_ item: Int, _ begin: Int, _ rows: Int, _ qb: UnsafeMutablePointer<Float>) {
    let (sequence, head) = split(item)
    let source = place(q, sequence * shape.queries + begin, head * (shape.nope + shape.rope))
    let position = (shape.keys - shape.queries + begin) * half
    typed.pack_rotated(
      source, q.columns, shape.nope, source + shape.nope * q.dtype.byteCount, q.columns, half,
      cosine + position, sine + position, shape.interleaved, qb, rows)
  }

  func unpackQueries(_ item: Int, _ begin: Int, _ rows: Int, _ dqb: UnsafePointer<Float>, _ dq: Tensor) {
    let (sequence, head) = split(item)
    let target = place(dq, sequence * shape.queries + begin, head * (shape.nope + shape.rope))
    typed.unpack_rotated(
      dqb, target, dq.columns, shape.nope, target + shape.nope * dq.dtype.byteCount, dq.columns, half,
      cosine + begin * half, sine + begin * half, shape.interleaved, rows)
  }

  /// Reads a block of o or of its gradient.
  func packOutput(_ item: Int, _ begin: Int, _ rows: Int, _ o: Tensor, _ block: UnsafeMutablePointer<Float>) {
    let (sequence, head) = split(item)
    let source = place(o, sequence * shape.queries + begin, head * shape.value)
    typed.pack_float(source, o.columns, block, shape.value, rows, shape.value)
  }

  /// Where a query's output of a head stands.
  func output(_ item: Int, _ query: Int, _ o: Tensor) -> UnsafeMutableRawPointer {
    let (sequence, head) = split(item)
    return place(o, sequence * shape.queries + query, head * shape.value)
  }

  /// Stores a head's dk and dv; the rotary part of dk goes to `dkrHeads[sequence, head]`, still rotated.
  func unpackKeysAndValues(
    _ item: Int, _ dk: UnsafePointer<Float>, _ dv: UnsafePointer<Float>, _ dkv: Tensor, _ dkrHeads: Tensor
  ) {
    let (sequence, head) = split(item)
    let width = shape.nope + shape.rope
    let target = place(dkv, sequence * shape.keys, head * (shape.nope + shape.value))
    typed.unpack_float(dk, width, target, dkv.columns, shape.keys, shape.nope)
    let values = target + shape.nope * dkv.dtype.byteCount
    typed.unpack_float(dv, shape.value, values, dkv.columns, shape.keys, shape.value)
    let shared = dkrHeads.floats.baseAddress! + item * shape.keys * shape.rope
    q.device.typed(.float32).copy_columns(dk + shape.nope, width, shared, shape.rope, shape.keys, shape.rope)
  }

  /// The gradient of the shared key: summed over heads, then rotated back. Overwrites its argument.
  func sumSharedKey(_ dkrHeads: Tensor) -> Tensor {
    let dkr = Tensor(kr.shape, kr.dtype, on: kr.device)
    let block = shape.keys * shape.rope
    kr.device.measured("sum of shared keys", .attention, bytes: dkrHeads.byteCount) {
      kr.device.workers.forEach(shape.sequences) { sequence in
        let sum = dkrHeads.floats.baseAddress! + sequence * shape.heads * block
        for head in 1..<max(shape.heads, 1) {
          kr.device.kernels.pointee.add_float(sum + head * block, sum, block)
        }
        let target = dkr.row(sequence * shape.keys)
        typed.unpack_rotated(
          sum, target, kr.columns, 0, target, kr.columns, half, cosine, sine, shape.interleaved, shape.keys)
      }
    }
    return dkr
  }
}
