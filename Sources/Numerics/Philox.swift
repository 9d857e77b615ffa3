internal import Foundation

/// Counter-based random numbers, Philox4x32-10: the i-th number is a pure function of (key, i), so that no generator
/// state has to be saved and any thread may compute any part of a sequence.
///
/// Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
package struct Philox: Sendable {
  private let key: (UInt32, UInt32)
  private let stream: UInt64

  /// - Parameters:
  ///   - seed: the run's seed.
  ///   - stream: what the numbers are for, for example a hash of a parameter's name, or a step.
  package init(seed: UInt64, stream: UInt64) {
    key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    self.stream = stream
  }

  /// Numbers for a named purpose: the name is hashed (FNV-1a), so that streams do not depend on an order.
  package init(seed: UInt64, name: String) {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    self.init(seed: seed, stream: hash)
  }

  /// Four independent 32-bit numbers.
  package func block(_ index: UInt64) -> (UInt32, UInt32, UInt32, UInt32) {
    var c = (
      UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32),
      UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32)
    )
    var k = key
    for _ in 0..<10 {
      let a = UInt64(c.0) * 0xd251_1f53
      let b = UInt64(c.2) * 0xcd9e_8d57
      c = (
        UInt32(truncatingIfNeeded: b >> 32) ^ c.1 ^ k.0, UInt32(truncatingIfNeeded: b),
        UInt32(truncatingIfNeeded: a >> 32) ^ c.3 ^ k.1, UInt32(truncatingIfNeeded: a)
      )
      k = (k.0 &+ 0x9e37_79b9, k.1 &+ 0xbb67_ae85)
    }
    return c
  }

  /// Uniform in (0, 1), from the 52 upper bits of two numbers.
  package func uniform(_ index: UInt64) -> Double {
    let b = block(index)
    return (Double((UInt64(b.0) << 20) | UInt64(b.1 >> 12)) + 0.5) / 4_503_599_627_370_496
  }

  /// Four normal numbers N(0, 1) by Box and Muller's transform.
  package func normals(_ index: UInt64) -> (Float, Float, Float, Float) {
    let b = block(index)
    let first = Self.pair(b.0, b.1)
    let second = Self.pair(b.2, b.3)
    return (first.0, first.1, second.0, second.1)
  }

  private static func pair(_ a: UInt32, _ b: UInt32) -> (Float, Float) {
    let radius = (-2 * log((Float(a >> 8) + 0.5) / 16_777_216)).squareRoot()
    let angle = 2 * Float.pi * Float(b >> 8) / 16_777_216
    return (radius * cos(angle), radius * sin(angle))
  }
}
