internal import CKernels

/// How rows are written that are computed in bfloat16 or float32 and read as E4M3 codes in 1 × 128 tiles.
package struct RowCoding: Sendable, Hashable {
  package var scales: ScaleSettings
  /// Whether numbers are written as well; else codes alone.
  package var keepsNumbers: Bool

  package init(_ scales: ScaleSettings, keepsNumbers: Bool) {
    (self.scales, self.keepsNumbers) = (scales, keepsNumbers)
  }
}

/// Rows as E4M3 codes, of numbers that were rounded to their storage type first; and those numbers, where they are kept.
package struct CodedRows {
  package let codes: QuantizedTensor
  package let scales: ScaleSettings
  package let numbers: Tensor?

  package init(codes: QuantizedTensor, scales: ScaleSettings, numbers: Tensor?) {
    (self.codes, self.scales, self.numbers) = (codes, scales, numbers)
  }
}

@available(*, unavailable)
extension CodedRows: Sendable {}

/// Rows that a kernel computes some at a time, so that they are quantized while they are in the first-level cache.
struct RowOutput {
  let shape: [Int]
  let dtype: DType
  let numbers: Tensor?
  let codes: QuantizedTensor?
  private let coding: RowCoding?

  /// Rows that are worked on together.
  private static let rowsAtOnce = 8

  /// - Parameters:
  ///   - coding: nil for numbers alone.
  ///   - travels: whether the codes, or else the numbers, go to other ranks.
  init(_ shape: [Int], _ dtype: DType, _ coding: RowCoding?, travels: Bool = false, on device: Device) {
    (self.shape, self.dtype, self.coding) = (shape, dtype, coding)
    numbers =
      coding?.keepsNumbers == false
      ? nil : device.lending(if: travels && coding == nil) { Tensor(shape, dtype, on: device) }
    codes = coding.map { coding in
      device.lending(if: travels) {
        QuantizedTensor(shape, .rows, hasPowerOfTwoScales: coding.scales.powerOfTwo, on: device)
      }
    }
  }

  var coded: CodedRows? {
    coding.flatMap { coding in codes.map { CodedRows(codes: $0, scales: coding.scales, numbers: numbers) } }
  }

  var byteCount: Int { (numbers?.byteCount ?? 0) + (codes?.byteCount ?? 0) }

  /// Shares the rows over the threads.
  /// - Parameters:
  ///   - statistics: counts what quantizing does, where it is asked for.
  ///   - compute: writes rows to an address.
  func forEachRows(
    on device: Device, statistics: QuantizationStatistics? = nil,
    _ compute: (Range<Int>, UnsafeMutableRawPointer) -> Void
  ) {
    let width = shape.last ?? 1
    let (rows, kernels) = (shape.dropLast().reduce(1, *), device.typed(dtype))
    guard let codes, let coding else {
      let numbers = numbers!
      return device.forEachRows(rows, width: width) { compute($0, numbers.row($0.lowerBound)) }
    }
    let grain = max(1, elementGrain / max(width, 1))
    device.forEachRange(rows, grain: grain, counting: rows * width, in: statistics) { range, counts in
      let bytes = numbers == nil ? Self.rowsAtOnce * width * dtype.byteCount : 0
      withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 64) { buffer in
        withUnsafePointer(to: coding.scales.rule) { rule in
          for part in range.parts(of: Self.rowsAtOnce) {
            let target = numbers?.row(part.lowerBound) ?? buffer.baseAddress!
            compute(part, target)
            codes.quantizeRows(target, at: part, kernels, rule, counts)
          }
        }
      }
    }
  }
}

extension Range<Int> {
  /// Consecutive ranges of `count`, the last one maybe shorter.
  func parts(of count: Int) -> some Sequence<Range<Int>> {
    stride(from: lowerBound, to: upperBound, by: count).lazy.map { $0..<Swift.min($0 + count, upperBound) }
  }
}

extension QuantizedTensor {
  /// Overwrites rows by the codes of numbers at an address.
  func quantizeRows(
    _ x: UnsafeRawPointer, at rows: Range<Int>, _ kernels: hadal_typed_kernels,
    _ rule: UnsafePointer<hadal_scale_rule>, _ counts: UnsafeMutablePointer<hadal_quantization_counts>? = nil
  ) {
    let first = rows.lowerBound
    kernels.quantize_rows(
      x, rows.count, codes.columns, rule, codePointer + first * codes.columns,
      scales.floats.baseAddress! + first * scales.columns, counts)
  }
}
