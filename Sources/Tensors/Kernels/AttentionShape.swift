internal import Foundation

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

  /// The width of q and k of a head.
  var width: Int { nope + rope }
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
    cosine = Tensor(shape, angles.map { Float(cos($0) * magnitude) }, on: device)
    sine = Tensor(shape, angles.map { Float(sin($0) * magnitude) }, on: device)
  }
}
