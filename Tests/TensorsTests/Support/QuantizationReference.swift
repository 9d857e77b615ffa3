import Numerics
import Tensors

/// Codes and scales as the definition has them: scalar, tile by tile, for every tiling.
struct QuantizationReference {
  var codes: [UInt8]
  var scales: [Float]
  var flushed = 0
  var nonFinite = 0

  /// - Parameter tiles: the indices of each tile's elements, in the order of the scales.
  init(_ x: [Float], tiles: [[Int]], _ settings: ScaleSettings) {
    codes = [UInt8](repeating: 0, count: x.count)
    scales = []
    for tile in tiles {
      let scale = Self.scale(tile.map { x[$0] }, settings, greatest: Float8E4M3.greatestFinite)
      scales.append(scale)
      for i in tile {
        codes[i] = x[i].isFinite ? Float8E4M3(x[i] / scale).bits : x[i].sign == .minus ? 0xff : 0x7f
        nonFinite += x[i].isFinite ? 0 : 1
        flushed += x[i] != 0 && codes[i] & 0x7f == 0 ? 1 : 0
      }
    }
  }

  static func scale(_ x: [Float], _ settings: ScaleSettings, greatest: Float) -> Float {
    let amax = max(x.lazy.filter(\.isFinite).map(\.magnitude).max() ?? 0, settings.amaxFloor)
    if amax == 0 { return 1 }
    let scale = max(amax / greatest, .leastNormalMagnitude)
    guard settings.powerOfTwo, scale.significand != 1 else { return scale }
    return Float(sign: .plus, exponent: scale.exponent + 1, significand: 1)
  }

  /// The values that codes stand for.
  func values(tiles: [[Int]]) -> [Float] {
    var y = [Float](repeating: 0, count: codes.count)
    for (tile, scale) in zip(tiles, scales) {
      for i in tile { y[i] = Float(Float8E4M3(bits: codes[i])) * scale }
    }
    return y
  }

  static func rowTiles(rows: Int, columns: Int) -> [[Int]] {
    (0..<rows).flatMap { r in
      pieces(columns).map { $0.map { r * columns + $0 } }
    }
  }

  static func columnTiles(offsets: [Int], columns: Int) -> [[Int]] {
    zip(offsets, offsets.dropFirst()).flatMap { begin, end in
      pieces(end - begin).flatMap { piece in
        (0..<columns).map { c in piece.map { (begin + $0) * columns + c } }
      }
    }
  }

  static func blocks(rows: Int, columns: Int, period: Int) -> [[Int]] {
    stride(from: 0, to: rows, by: period).flatMap { first in
      pieces(period).flatMap { down in
        pieces(columns).map { across in down.flatMap { r in across.map { (first + r) * columns + $0 } } }
      }
    }
  }

  private static func pieces(_ count: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: 128).map { $0..<min($0 + 128, count) }
  }
}

/// Where codes or scales first differ; nil when nowhere.
func firstDifference(_ found: QuantizedTensor, _ expected: QuantizationReference) -> String? {
  withExtendedLifetime(found) {
    let codes = found.codes.elements(Float8E4M3.self).map(\.bits)
    let scales = Array(found.scales.floats)
    guard codes.count == expected.codes.count, scales.count == expected.scales.count else {
      return "\(codes.count) codes and \(scales.count) scales"
    }
    if let i = scales.indices.first(where: { scales[$0].bitPattern != expected.scales[$0].bitPattern }) {
      return "scale [\(i)] is \(scales[i]), not \(expected.scales[i])"
    }
    if let i = codes.indices.first(where: { codes[$0] != expected.codes[$0] }) {
      return "code [\(i)] is \(codes[i]), not \(expected.codes[i])"
    }
    return nil
  }
}

/// Numbers of many magnitudes, with zeros, signed zeros, NaN, infinities, float32 denormals and rows that are all zero or
/// tiny.
func awkwardNumbers(rows: Int, columns: Int, _ name: String) -> [Float] {
  var x = randomNumbers(rows * columns, name)
  let magnitudes = randomNumbers(rows * columns, name + " magnitudes", scale: 6)
  for i in x.indices {
    let (r, c) = (i / columns, i % columns)
    switch (r % 11, c % 37) {
    case (3, _): x[i] *= 1e-7
    case (5, _), (_, 4): x[i] = c % 2 == 0 ? 0 : -0.0
    case (7, 9): x[i] = .nan
    case (7, 10): x[i] = -Float.nan
    case (8, 11): x[i] = .infinity
    case (8, 12): x[i] = -.infinity
    case (9, 13): x[i] = Float(bitPattern: 7000)
    case (2, 14): x[i] = 3e38
    default: x[i] *= Float(sign: .plus, exponent: Int(magnitudes[i]), significand: 1)
    }
  }
  return x
}
