import Tensors

/// What a quantizer should count, one element after the other in Float.
struct CountedTiles: Equatable {
  var elements = 0
  var amax: Float = 0
  var flushed = 0
  var nonFinite = 0
  var leastScale = Float.infinity
  var greatestScale: Float = 0

  /// What was counted.
  init(_ counters: QuantizationStatistics) {
    (elements, amax) = (counters.elements, counters.amax)
    (flushed, nonFinite) = (counters.flushed, counters.nonFinite)
    (leastScale, greatestScale) = (counters.leastScale, counters.greatestScale)
  }

  /// - Parameter tiles: the places of the elements that share a scale.
  init(_ x: [Float], tiles: [[Int]], _ settings: ScaleSettings) {
    for tile in tiles {
      let finite = tile.map { x[$0] }.filter(\.isFinite)
      let amax = finite.map(\.magnitude).max() ?? 0
      var scale = max(amax, settings.amaxFloor) / 448
      if settings.powerOfTwo, scale.significand != 1 { scale = scale.binade * 2 }
      // Half of E4M3's least magnitude, 2⁻⁹, is rounded to the even zero.
      flushed += finite.count { $0 != 0 && ($0 / scale).magnitude <= 0x1p-10 }
      nonFinite += tile.count - finite.count
      elements += tile.count
      self.amax = max(self.amax, amax)
      (leastScale, greatestScale) = (min(leastScale, scale), max(greatestScale, scale))
    }
  }

  static func rows(_ x: [Float], columns: Int, _ settings: ScaleSettings) -> CountedTiles {
    let rows = x.count / columns
    let tiles = (0..<rows).flatMap { row in
      stride(from: 0, to: columns, by: 128).map { first in
        (first..<min(first + 128, columns)).map { row * columns + $0 }
      }
    }
    return CountedTiles(x, tiles: tiles, settings)
  }

  /// - Parameter offsets: where segments begin, and the end.
  static func columns(
    _ x: [Float], columns: Int, offsets: [Int], _ settings: ScaleSettings
  ) -> CountedTiles {
    let segments = zip(offsets, offsets.dropFirst()).flatMap { begin, end in
      stride(from: begin, to: end, by: 128).map { $0..<min($0 + 128, end) }
    }
    let tiles = segments.flatMap { rows in
      (0..<columns).map { column in rows.map { $0 * columns + column } }
    }
    return CountedTiles(x, tiles: tiles, settings)
  }

  /// - Parameter period: the rows of each matrix.
  static func blocks(
    _ x: [Float], columns: Int, period: Int, _ settings: ScaleSettings
  ) -> CountedTiles {
    let rows = x.count / columns
    var tiles: [[Int]] = []
    for matrix in stride(from: 0, to: rows, by: period) {
      for top in stride(from: 0, to: period, by: 128) {
        for left in stride(from: 0, to: columns, by: 128) {
          let block = (top..<min(top + 128, period)).flatMap { row in
            (left..<min(left + 128, columns)).map { (matrix + row) * columns + $0 }
          }
          tiles.append(block)
        }
      }
    }
    return CountedTiles(x, tiles: tiles, settings)
  }
}
