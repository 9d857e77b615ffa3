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

  func output(_ i: Int) -> Sum {
    (0...i).reduce(into: Sum(shape.value)) { $0.add(probability(i, $1), v[$1]) }
  }

  func queryGradient(_ i: Int) -> Sum {
    var sum = (0...i).reduce(into: Sum(shape.nope + shape.rope)) { $0.add(slope(i, $1), k[$1]) }
    sum.values[shape.nope...] = unrotated(sum.values[shape.nope...], i)[...]
    return sum
  }

  /// Of the plain part of a key.
  func keyGradient(_ j: Int) -> Sum {
    (j..<shape.keys).reduce(into: Sum(shape.nope)) { $0.add(slope($1, j), q[$1]) }
  }

  func valueGradient(_ j: Int) -> Sum {
    (j..<shape.keys).reduce(into: Sum(shape.value)) { $0.add(probability($1, j), dO[$1]) }
  }

  /// This head's part of the gradient of the key that all heads share.
  func sharedKeyGradient(_ j: Int) -> Sum {
    var sum = (j..<shape.keys).reduce(into: Sum(shape.rope)) { $0.add(slope($1, j), q[$1][shape.nope...]) }
    sum.values = unrotated(sum.values[...], j)
    return sum
  }

  private func probability(_ i: Int, _ j: Int) -> Factor {
    let (shift, sum, _) = statistics[i - firstQuery]
    let p = exp(Double(shape.scale) * dot(q[i], k[j]) - shift) / sum
    return Factor(value: p, magnitude: p)
  }

  private func slope(_ i: Int, _ j: Int) -> Factor {
    let (p, dp, delta) = (probability(i, j).value, dot(dO[i], v[j]), statistics[i - firstQuery].delta)
    let scale = Double(shape.scale)
    return Factor(value: p * (dp - delta) * scale, magnitude: p * (abs(dp) + abs(delta)) * scale)
  }
}

extension AttentionReference {
  /// A number, and how large what it is made of is: little may be left of a difference, but not of its rounding.
  struct Factor {
    let value, magnitude: Double
  }

  /// A sum of rows.
  struct Sum {
    fileprivate(set) var values: [Double]
    private var squares: [Double]

    init(_ count: Int) {
      values = Array(repeating: 0, count: count)
      squares = values
    }

    /// The largest column's root of the sum of squares of its terms' magnitudes: what independent relative errors
    /// of the terms are to be multiplied by.
    var scale: Double { (squares.max() ?? 0).squareRoot() }

    fileprivate mutating func add(_ factor: Factor, _ row: some RandomAccessCollection<Double>) {
      for (c, x) in zip(values.indices, row) {
        values[c] += factor.value * x
        squares[c] += factor.magnitude * x * factor.magnitude * x
      }
    }

    static func += (sum: inout Sum, addend: Sum) {
      for c in sum.values.indices {
        sum.values[c] += addend.values[c]
        sum.squares[c] += addend.squares[c]
      }
    }
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
  private func unrotated(_ slice: ArraySlice<Double>, _ position: Int) -> [Double] {
    let half = shape.rope / 2
    let y = Array(slice)
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
