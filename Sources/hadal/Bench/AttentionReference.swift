internal import Foundation
internal import Tensors

/// One head of one sequence in Double, row by row. i queries, j keys; `ds = p · (dp − δ) · scale`.
struct AttentionReference {
  private let shape: AttentionShape
  /// `[S][nope + rope]`, rotated, the rotary part as [real | imaginary].
  private let q, k: [[Double]]
  private let v, dO: [[Double]]
  /// Of the queries from `firstQuery` on: the largest exponent, the sum of the others by it, and `δ = dO · o`.
  private let statistics: [(shift: Double, sum: Double, delta: Double)]
  private let firstQuery: Int
  private let angles: (cosine: Numbers, sine: Numbers)

  /// - Parameter firstQuery: earlier queries are not asked for.
  init(_ attention: AttentionCase, sequence: Int, head: Int, from firstQuery: Int = 0) {
    let (shape, table) = (attention.shape, attention.table)
    let rows = sequence * shape.keys..<(sequence + 1) * shape.keys
    let read = { (tensor: Tensor, column: Int, count: Int) in
      let numbers = Numbers(tensor)
      return rows.map { row in (0..<count).map { numbers[row * tensor.columns + column + $0] } }
    }
    let width = shape.nope + shape.rope
    let angles = (Numbers(table.cosine), Numbers(table.sine))
    let rotate = { (position: Int, x: [Double]) in Self.rotated(x, position, shape, angles) }
    let queries = read(attention.q, head * width, width)
    let keys = read(attention.kv, head * (shape.nope + shape.value), shape.nope)
    let shared = read(attention.kr, 0, shape.rope)
    q = queries.enumerated().map { $1[..<shape.nope] + rotate($0, Array($1[shape.nope...])) }
    k = zip(keys, shared).enumerated().map { $1.0 + rotate($0, $1.1) }
    v = read(attention.kv, head * (shape.nope + shape.value) + shape.nope, shape.value)
    dO = read(attention.dO, head * shape.value, shape.value)
    (self.shape, self.firstQuery, self.angles) = (shape, firstQuery, angles)
    let (q, k, v, dO) = (q, k, v, dO)
    let scale = Double(shape.scale)
    statistics = attention.q.device.workers.map(shape.keys - firstQuery) { i in
      let (query, dO) = (q[firstQuery + i], dO[firstQuery + i])
      let exponents = (0...firstQuery + i).map { scale * dot(query, k[$0]) }
      let shift = exponents.max() ?? 0
      let powers = exponents.map { exp($0 - shift) }
      let weighted = powers.indices.reduce(0) { $0 + powers[$1] * dot(dO, v[$1]) }
      let sum = powers.reduce(0, +)
      return (shift, sum, weighted / sum)
    }
  }

  func output(_ i: Int) -> [Double] {
    (0...i).reduce(into: zeros(shape.value)) { add($1, probability(i, $1), v, to: &$0) }
  }

  func queryGradient(_ i: Int) -> [Double] {
    let gradient = (0...i).reduce(into: zeros(shape.nope + shape.rope)) { add($1, slope(i, $1), k, to: &$0) }
    return Array(gradient[..<shape.nope]) + unrotated(Array(gradient[shape.nope...]), i)
  }

  /// Of the plain part of the key, then of the value.
  func keyValueGradient(_ j: Int) -> [Double] {
    let value = (j..<shape.keys).reduce(into: zeros(shape.value)) { add($1, probability($1, j), dO, to: &$0) }
    return Array(keyGradient(j)[..<shape.nope]) + value
  }

  /// This head's part of the gradient of the key that all heads share.
  func sharedKeyGradient(_ j: Int) -> [Double] { unrotated(Array(keyGradient(j)[shape.nope...]), j) }

  private func keyGradient(_ j: Int) -> [Double] {
    (j..<shape.keys).reduce(into: zeros(shape.nope + shape.rope)) { add($1, slope($1, j), q, to: &$0) }
  }

  private func probability(_ i: Int, _ j: Int) -> Double {
    let (shift, sum, _) = statistics[i - firstQuery]
    return exp(Double(shape.scale) * dot(q[i], k[j]) - shift) / sum
  }

  private func slope(_ i: Int, _ j: Int) -> Double {
    probability(i, j) * (dot(dO[i], v[j]) - statistics[i - firstQuery].delta) * Double(shape.scale)
  }

  private func zeros(_ count: Int) -> [Double] { Array(repeating: 0, count: count) }

  private func add(_ row: Int, _ factor: Double, _ rows: [[Double]], to sum: inout [Double]) {
    for c in sum.indices { sum[c] += factor * rows[row][c] }
  }
}

extension AttentionReference {
  /// Pair p of a stored row: its two places.
  private static func pair(_ p: Int, _ shape: AttentionShape) -> (Int, Int) {
    shape.interleaved ? (2 * p, 2 * p + 1) : (p, p + shape.rope / 2)
  }

  private static func rotated(
    _ x: [Double], _ position: Int, _ shape: AttentionShape, _ angles: (cosine: Numbers, sine: Numbers)
  ) -> [Double] {
    let half = shape.rope / 2
    var y = x
    for p in 0..<half {
      let (a, b) = pair(p, shape)
      let (c, s) = (angles.cosine[position * half + p], angles.sine[position * half + p])
      (y[p], y[half + p]) = (x[a] * c - x[b] * s, x[a] * s + x[b] * c)
    }
    return y
  }

  /// The transpose of the rotation.
  private func unrotated(_ y: [Double], _ position: Int) -> [Double] {
    let half = shape.rope / 2
    var x = y
    for p in 0..<half {
      let (a, b) = Self.pair(p, shape)
      let (c, s) = (angles.cosine[position * half + p], angles.sine[position * half + p])
      (x[a], x[b]) = (y[p] * c + y[half + p] * s, y[half + p] * c - y[p] * s)
    }
    return x
  }
}

/// `a · b`, over the length of b.
private func dot(_ a: [Double], _ b: [Double]) -> Double {
  a.withUnsafeBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      var (sum, i) = (0.0, 0)
      while i < b.count {
        sum += a[i] * b[i]
        i += 1
      }
      return sum
    }
  }
}

extension WorkerPool {
  /// `body` of each of 0..<count, in this order.
  fileprivate func map<Element>(_ count: Int, _ body: (Int) -> Element) -> [Element] {
    let all = UnsafeMutableBufferPointer<Element>.allocate(capacity: count)
    defer { all.deallocate() }
    forEach(count) { i in all.initializeElement(at: i, to: body(i)) }
    defer { all.deinitialize() }
    return Array(all)
  }
}
