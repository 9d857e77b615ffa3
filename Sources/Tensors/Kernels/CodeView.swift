internal import CKernels

/// Where the parts of a quantized array lie, for loops that ask for some rows of it again and again on all threads:
/// copies of the array itself count references, in memory that the threads would take from each other.
struct CodeView {
  /// As `hadal_typed_kernels.decode_e4m3` is declared.
  typealias Decoding =
    @convention(c) (
      UnsafePointer<UInt8>?, Int, UnsafePointer<Int32>?, Int, Int, UnsafePointer<Float>?, Int, Int, Int,
      UnsafeMutableRawPointer?, Int
    ) -> Void

  let address: UnsafePointer<UInt8>
  /// Codes of a row.
  let width: Int
  let scales: UnsafePointer<Float>
  let scaleColumns: Int
  let tiling: QuantizedTensor.Tiling
  let decodeToFloat32, decodeToBFloat16: Decoding
  private let rows, period: Int
  private let offsets, tilesBefore: UnsafeBufferPointer<Int>

  /// - Parameters:
  ///   - offsets: those of the array, and the tiles before.
  fileprivate init(
    _ x: QuantizedTensor, offsets: UnsafeBufferPointer<Int>, tilesBefore: UnsafeBufferPointer<Int>
  ) {
    (address, width) = (UnsafePointer(x.codePointer), x.codes.columns)
    (scales, scaleColumns) = (UnsafePointer(x.scales.floats.baseAddress!), x.scales.columns)
    (tiling, rows, period) = (x.tiling, x.codes.rows, x.period)
    (self.offsets, self.tilesBefore) = (offsets, tilesBefore)
    decodeToFloat32 = x.device.typed(.float32).decode_e4m3!
    decodeToBFloat16 = x.device.typed(.bfloat16).decode_e4m3!
  }

  /// Columns that share a scale.
  var tileColumns: Int { tiling == .columns ? 1 : QuantizedTensor.tile }

  /// The tile that a row lies in: its row of scales, and its rows of codes.
  func tile(ofRow row: Int) -> (index: Int, rows: Range<Int>) {
    switch tiling {
    case .rows: return (row, row..<row + 1)
    case .blocks:
      let (matrix, place) = row.quotientAndRemainder(dividingBy: period)
      let tile = place / QuantizedTensor.tile
      let first = matrix * period + tile * QuantizedTensor.tile
      return (
        matrix * QuantizedTensor.tiles(period) + tile,
        first..<min(first + QuantizedTensor.tile, (matrix + 1) * period)
      )
    case .columns:
      let segment = segment(ofRow: row)
      let (begin, tile) = (offsets[segment], (row - offsets[segment]) / QuantizedTensor.tile)
      let first = begin + tile * QuantizedTensor.tile
      return (tilesBefore[segment] + tile, first..<min(first + QuantizedTensor.tile, offsets[segment + 1]))
    }
  }

  /// The one that is not empty and has the row, by bisection: products ask for every run of each expert.
  private func segment(ofRow row: Int) -> Int {
    precondition(0..<rows ~= row, "row \(row) of \(rows)")
    // offsets[low] <= row < offsets[high]
    var (low, high) = (0, offsets.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if offsets[middle] <= row { low = middle } else { high = middle }
    }
    return low
  }
}

extension QuantizedTensor {
  /// A view that is good in `body` only.
  func withView<Result>(_ body: (CodeView) -> Result) -> Result {
    withExtendedLifetime(self) {
      offsets.withUnsafeBufferPointer { offsets in
        tilesBefore.withUnsafeBufferPointer { body(CodeView(self, offsets: offsets, tilesBefore: $0)) }
      }
    }
  }
}
