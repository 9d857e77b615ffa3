import Foundation
import Tensors

/// Multi-head latent attention with nested loops, in Double, from the formula.
struct AttentionReference {
  let shape: AttentionShape
  /// Radians per position of each rotary pair.
  let frequencies: [Double]
  /// `[B·Q]`, the first key that each query sees; nil for 0.
  var documents: [Int32]?

  /// A vector's rotary part after (a + ib) · e^{i·position·frequency}, as [real | imaginary].
  private func rotated(_ x: ArraySlice<Double>, position: Int) -> [Double] {
    let (half, x) = (shape.rope / 2, Array(x))
    let pairs = (0..<half).map { j in shape.interleaved ? (x[2 * j], x[2 * j + 1]) : (x[j], x[half + j]) }
    let turned = zip(pairs, frequencies).map { pair, frequency in
      // The angle is defined in float32, as in every program that runs these models.
      let angle = Double(Float(position) * Float(frequency))
      let (c, s) = (cos(angle), sin(angle))
      return (pair.0 * c - pair.1 * s, pair.0 * s + pair.1 * c)
    }
    return turned.map(\.0) + turned.map(\.1)
  }

  /// o `[B·Q, H·value]`; query i stands at position keys − queries + i.
  func callAsFunction(q: [Double], kv: [Double], kr: [Double]) -> [Double] {
    let (nope, rope, value, heads) = (shape.nope, shape.rope, shape.value, shape.heads)
    let (qWidth, kvWidth) = (heads * (nope + rope), heads * (nope + value))
    var o: [Double] = []
    for b in 0..<shape.sequences {
      let sharedKeys = (0..<shape.keys).map { j in
        let row = b * shape.keys + j
        return rotated(kr[row * rope..<(row + 1) * rope], position: j)
      }
      for i in 0..<shape.queries {
        let position = shape.keys - shape.queries + i
        for h in 0..<heads {
          let start = (b * shape.queries + i) * qWidth + h * (nope + rope)
          let query = Array(q[start..<start + nope])
          let turned = rotated(q[start + nope..<start + nope + rope], position: position)
          var (sum, weighted) = (0.0, [Double](repeating: 0, count: value))
          for j in Int(documents?[b * shape.queries + i] ?? 0)...position {
            let key = (b * shape.keys + j) * kvWidth + h * (nope + value)
            let plain = zip(query, kv[key...]).reduce(0) { $0 + $1.0 * $1.1 }
            let score = zip(turned, sharedKeys[j]).reduce(plain) { $0 + $1.0 * $1.1 }
            let weight = exp(score * Double(shape.scale))
            sum += weight
            for d in 0..<value { weighted[d] += weight * kv[key + nope + d] }
          }
          o += weighted.map { $0 / sum }
        }
      }
    }
    return o
  }
}
