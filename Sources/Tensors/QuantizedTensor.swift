/// E4M3 codes with a scale for each tile: `value = code · scale`.
///
/// Source: DeepSeek-V3, arXiv:2412.19437, §3.3.2.
package struct QuantizedTensor {
  /// Which elements share a scale.
  package enum Tiling: String, Sendable {
    /// 1 × 128 along a row.
    case rows
    /// 128 × 1 down a column.
    case columns
    /// 128 × 128.
    case blocks
  }

  /// The side of a tile; the last one of a row, column or matrix is short where the size is no multiple.
  package static let tile = 128

  /// `[.., R, C]`, float8.
  package let codes: Tensor
  /// The factors, float32: rows `[R, ⌈C/128⌉]`; columns `[tiles, C]`; blocks `[matrices, ⌈period/128⌉, ⌈C/128⌉]`.
  package let scales: Tensor
  package let tiling: Tiling
  /// Whether every scale is a power of two.
  package let hasPowerOfTwoScales: Bool
  /// Columns: the first row of each segment, and the end; tiles do not straddle segments. Otherwise `[0, R]`.
  package let offsets: [Int]
  /// Columns: how many tiles the segments before each have.
  let tilesBefore: [Int]
  /// Blocks: the rows of each matrix; tiles do not straddle matrices. Otherwise R.
  package let period: Int

  /// Puts codes and scales together.
  /// - Parameters:
  ///   - offsets: of columns; nil for one segment.
  ///   - period: of blocks; nil for one matrix.
  package init(
    codes: Tensor, scales: Tensor, tiling: Tiling, hasPowerOfTwoScales: Bool, offsets: [Int]? = nil,
    period: Int? = nil
  ) {
    let offsets = offsets ?? [0, codes.rows]
    let period = period ?? codes.rows
    let expected = Self.scaleShape(codes.shape, tiling, offsets: offsets, period: period)
    precondition(
      codes.dtype == .float8 && scales.dtype == .float32 && scales.shape == expected,
      "\(tiling) of \(codes.shape) \(codes.dtype) have scales \(expected), not \(scales.shape) \(scales.dtype)"
    )
    (self.codes, self.scales, self.tiling) = (codes, scales, tiling)
    (self.hasPowerOfTwoScales, self.offsets, self.period) = (hasPowerOfTwoScales, offsets, period)
    tilesBefore =
      tiling == .columns
      ? zip(offsets, offsets.dropFirst()).reduce(into: [0]) {
        $0.append($0[$0.count - 1] + Self.tiles($1.1 - $1.0))
      }
      : []
  }

  /// Uninitialized memory for codes of this shape.
  init(
    _ shape: [Int], _ tiling: Tiling, hasPowerOfTwoScales: Bool, offsets: [Int]? = nil, period: Int? = nil,
    on device: Device
  ) {
    let codes = Tensor(shape, .float8, on: device)
    let scaleShape = Self.scaleShape(
      shape, tiling, offsets: offsets ?? [0, codes.rows], period: period ?? codes.rows)
    self.init(
      codes: codes, scales: Tensor(scaleShape, on: device), tiling: tiling,
      hasPowerOfTwoScales: hasPowerOfTwoScales, offsets: offsets, period: period)
  }

  /// Uninitialized memory for codes in 1 × 128 tiles.
  package init(rows shape: [Int], hasPowerOfTwoScales: Bool, on device: Device) {
    self.init(shape, .rows, hasPowerOfTwoScales: hasPowerOfTwoScales, on: device)
  }

  /// Uninitialized memory for codes in blocks, of matrices of `period` rows.
  package init(blocks shape: [Int], period: Int, hasPowerOfTwoScales: Bool, on device: Device) {
    self.init(shape, .blocks, hasPowerOfTwoScales: hasPowerOfTwoScales, period: period, on: device)
  }

  package var shape: [Int] { codes.shape }
  package var device: Device { codes.device }
  package var byteCount: Int { codes.byteCount + scales.byteCount }

  /// Columns: the rows of each tile, in the order of the scales.
  package var columnTiles: [Range<Int>] { Self.columnTiles(offsets) }

  /// How many tiles lie beside each other on so many elements.
  package static func tiles(_ count: Int) -> Int { (count + tile - 1) / tile }

  /// The shape of the scales that codes of this shape have.
  package static func scaleShape(_ shape: [Int], _ tiling: Tiling, offsets: [Int], period: Int) -> [Int] {
    let columns = shape.last ?? 1
    let rows = shape.dropLast().reduce(1, *)
    switch tiling {
    case .rows: return [rows, tiles(columns)]
    case .columns:
      precondition(
        offsets.first == 0 && offsets.last == rows
          && zip(offsets, offsets.dropFirst()).allSatisfy { $0 <= $1 },
        "offsets \(offsets) do not cut \(rows) rows into segments")
      return [columnTiles(offsets).count, columns]
    case .blocks:
      precondition(
        rows == 0 || (period > 0 && rows.isMultiple(of: period)),
        "\(rows) rows are no matrices of \(period) rows")
      return [rows == 0 ? 0 : rows / period, tiles(period), tiles(columns)]
    }
  }

  private static func columnTiles(_ offsets: [Int]) -> [Range<Int>] {
    zip(offsets, offsets.dropFirst()).flatMap { begin, end in
      stride(from: begin, to: end, by: tile).map { $0..<min($0 + tile, end) }
    }
  }
}

@available(*, unavailable)
extension QuantizedTensor: Sendable {}

/// How scales follow from the largest magnitude of a tile: `max(amax, amaxFloor) / 448`.
package struct ScaleSettings: Sendable, Hashable {
  /// Rounds scales up to powers of two.
  package var powerOfTwo: Bool
  /// What amax counts as at least; finite, not negative. With 0, a tile of zeros has scale 1.
  package var amaxFloor: Float

  package init(powerOfTwo: Bool = false, amaxFloor: Float = 1e-4) {
    precondition(amaxFloor.isFinite && amaxFloor >= 0, "an amax floor of \(amaxFloor)")
    (self.powerOfTwo, self.amaxFloor) = (powerOfTwo, amaxFloor)
  }
}
