internal import Foundation
internal import Tensors

/// Attention of one length with its operands: can be checked, then run as often as it takes to time it.
struct AttentionCase {
  let shape: AttentionShape
  let dtype: DType
  let q, kv, kr, dO: Tensor
  let table: RotaryTable

  init(_ shape: AttentionShape, _ dtype: DType, on device: Device) {
    (self.shape, self.dtype) = (shape, dtype)
    let rows = shape.sequences * shape.keys
    let random = { (columns: Int, name: String) in
      Tensor.random([rows, columns], dtype, name, on: device)
    }
    q = random(shape.heads * (shape.nope + shape.rope), "q")
    kv = random(shape.heads * (shape.nope + shape.value), "kv")
    kr = random(shape.rope, "kr")
    dO = random(shape.heads * shape.value, "dO")
    // The plain frequencies of RoPE: which ones they are makes no difference to the work.
    let half = shape.rope / 2
    let frequencies = (0..<half).map { pow(10_000, -Double($0) / Double(half)) }
    table = RotaryTable(positions: shape.keys, frequencies: frequencies, magnitude: 1, on: device)
  }

  /// The bytes of operands, results and gradients, and of what the check keeps of one head in Double.
  static func byteCount(_ shape: AttentionShape, _ dtype: DType) -> Int {
    let (width, rows) = (shape.nope + shape.rope, shape.sequences * shape.keys)
    let columns = shape.heads * (width + shape.nope + 3 * shape.value) + shape.rope
    return 2 * rows * columns * dtype.byteCount + shape.keys * shape.heads * 2 * (width + shape.value) * 8
  }

  func forward() -> (o: Tensor, normalizers: Tensor) { attention(q, kv, kr, shape, table) }

  func backward(_ saved: (o: Tensor, normalizers: Tensor)) -> (dq: Tensor, dkv: Tensor, dkr: Tensor) {
    attentionGradient(dO, q, kv, kr, o: saved.o, normalizers: saved.normalizers, shape, table)
  }

  /// Two products: scores and weighted values.
  var forwardFlops: Double { shape.products * Double(shape.nope + shape.rope + shape.value) }
  /// Five: the scores anew, and what reaches queries, keys, values and probabilities.
  var backwardFlops: Double { shape.products * Double(3 * (shape.nope + shape.rope) + 2 * shape.value) }
  /// q, kv, kr and o, each once.
  var forwardBytes: Int { q.byteCount + kv.byteCount + kr.byteCount + dO.byteCount }
  /// Those, and the gradients of all of them.
  var backwardBytes: Int { 2 * forwardBytes }
}

extension AttentionCase {
  /// Runs both directions once and compares rows with a Double computation.
  /// - Throws: `WrongResult`.
  func check() throws(WrongResult) {
    let saved = forward()
    try check(saved.o, backward(saved))
  }

  func check(_ o: Tensor, _ gradients: (dq: Tensor, dkv: Tensor, dkr: Tensor)) throws(WrongResult) {
    let (width, both) = (shape.nope + shape.rope, shape.nope + shape.value)
    for (sequence, head) in Set([[0, 0], [shape.sequences - 1, shape.heads - 1]]).map({ ($0[0], $0[1]) }) {
      let reference = AttentionReference(self, sequence: sequence, head: head)
      let first = sequence * shape.keys
      for row in spread(12, below: shape.keys) {
        try compare("o", o, first + row, head * shape.value, reference.output(row))
        try compare("dq", gradients.dq, first + row, head * width, reference.queryGradient(row))
        let column = head * both
        try compare("dkv", gradients.dkv, first + row, column, reference.keyGradient(row))
        try compare("dkv", gradients.dkv, first + row, column + shape.nope, reference.valueGradient(row))
      }
    }
    // The last keys alone: few queries see them, and all heads take part.
    let last = (max(0, shape.keys - 3)..<shape.keys)
    let heads = (0..<shape.heads).map {
      AttentionReference(self, sequence: 0, head: $0, from: last.lowerBound)
    }
    for row in last {
      let sum = heads.reduce(into: AttentionReference.Sum(shape.rope)) { $0 += $1.sharedKeyGradient(row) }
      try compare("dkr", gradients.dkr, row, 0, sum)
    }
  }

  /// Compares part of a row. Allowed is a relative error of each term of the sums that is 8 times the half unit of
  /// bfloat16, in which operands may be rounded; in float32 what scores of some units lose in their exponentials.
  private func compare(
    _ name: String, _ tensor: Tensor, _ row: Int, _ column: Int, _ expected: AttentionReference.Sum
  ) throws(WrongResult) {
    let found = Numbers(tensor)
    let tolerance = expected.scale * (dtype == .bfloat16 ? 0x1p-5 : 0x1p-14)
    for (i, value) in expected.values.enumerated() {
      try WrongResult.check(
        "attention \(name) at sequence \(shape.keys), \(dtype)", [row, column + i],
        found[row * tensor.columns + column + i], value, tolerance: tolerance)
    }
  }
}
