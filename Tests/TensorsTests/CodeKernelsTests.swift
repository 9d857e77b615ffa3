import CKernels
import Numerics
import Tensors
import Testing

/// What products of codes are made of: decoding any part of a matrix, and scaling partial sums.
struct CodeKernelsTests {
  /// Every code, with its sign and NaN, without a scale and with small and large ones, powers of two among them.
  @Test(
    arguments: Kernel.all,
    [nil, 1, 3, 0x1p-126, 0x1p-101, 0x1p-100, 0x1p-9, 0x1p100, 0x1p101, 0x1p119] as [Float?])
  func everyCode(_ kernel: Kernel, scale: Float?) throws {
    let device = try kernel.device(threads: 1)
    let codes = (0..<256).map { Float8E4M3(bits: UInt8($0)) }
    let scales = scale.map { (values: [Float](repeating: $0, count: 4), row: 1, tile: 128) }
    let found = decoded(
      codes, (4, 64), index: nil, scales: scales, first: 0, width: 64, kernel.dtype, device)
    for (code, value) in zip(codes, found) {
      let product = Float(code) * (scale ?? 1)
      let expected = kernel.dtype == .bfloat16 ? Float(BFloat16(product)) : product
      #expect(
        value.bitPattern == expected.bitPattern || (value.isNaN && expected.isNaN),
        "\(code): \(value), \(expected)")
    }
  }

  /// Parts that begin and end within tiles and vectors, rows picked by an index, both kinds of scales.
  @Test(arguments: Kernel.all, [(0, 300), (5, 3), (120, 20), (127, 131), (256, 44)])
  func anyPart(_ kernel: Kernel, _ part: (first: Int, width: Int)) throws {
    let device = try kernel.device(threads: 1)
    let (rows, columns) = (6, 300)
    let codes = randomNumbers(rows * columns, "codes", scale: 20).map { Float8E4M3($0) }
    for index in [nil, [4, 0, 0, 5]] as [[Int32]?] {
      for tile in [1, 128] {
        let perRow = (columns + tile - 1) / tile
        let scales = randomNumbers(rows * perRow, "scales")
        let found = decoded(
          codes, (rows, columns), index: index, scales: (scales, perRow, tile), first: part.first,
          width: part.width, kernel.dtype, device)
        let places = index?.map(Int.init) ?? Array(0..<rows)
        let expected = places.flatMap { row in
          (part.first..<part.first + part.width).map { c in
            let value = Float(codes[row * columns + c]) * scales[row * perRow + c / tile]
            return kernel.dtype == .bfloat16 ? Float(BFloat16(value)) : value
          }
        }
        #expect(found == expected, "tile \(tile), index \(index ?? [])")
      }
    }
  }

  /// Panels of B from codes, those of NaN among them: whole and partial ones, from columns on where tiles begin and where
  /// they do not, from rows and from columns of the array.
  @Test(arguments: Device.supportedLevels(), [(32, 128), (64, 96), (33, 130), (150, 64), (1, 3), (70, 301)])
  func panels(level: String, _ size: (n: Int, k: Int)) throws {
    let device = try Device(threads: 1, level: level)
    let kernels = device.kernels.pointee.float_products
    let (n, k, width) = (size.n, size.k, Int(kernels.columns))
    for (isTransposed, tile) in [(true, 128), (false, 128), (false, 1)] {
      for first in isTransposed ? [0, 32, 224] : [0, 96] {
        let (rows, columns) = isTransposed ? (n, first + k) : (k, first + n)
        let codes = randomNumbers(rows * columns, "panel codes", scale: 30).enumerated().map {
          $0.offset % 997 == 500 ? Float8E4M3(.nan) : Float8E4M3($0.element)
        }
        let perRow = (columns + tile - 1) / tile
        let scales = randomNumbers(rows * perRow, "panel scales")
        for isScaled in [true, false] {
          let found = panels(
            codes, scales, isTransposed, rows: rows, columns: columns, first: first,
            tile: isScaled ? tile : 128,
            isScaled: isScaled, size, kernels)
          for (i, value) in found.enumerated() {
            let (panel, rest) = i.quotientAndRemainder(dividingBy: k * width)
            let (p, j) = (rest / width, panel * width + rest % width)
            let (row, column) = isTransposed ? (j, first + p) : (p, first + j)
            let expected =
              j < n
              ? Float(codes[row * columns + column]) * (isScaled ? scales[row * perRow + column / tile] : 1)
              : 0
            #expect(
              value == expected || (value.isNaN && expected.isNaN), "\(isTransposed), k \(p), column \(j)")
          }
        }
      }
    }
  }

  /// The same in pairs of bfloat16, with powers of two; other scales, and those beyond the exponents, are refused.
  @Test(arguments: Device.supportedLevels(), [(32, 128), (64, 96), (33, 130), (150, 64), (1, 3), (70, 301)])
  func pairs(level: String, _ size: (n: Int, k: Int)) throws {
    let device = try Device(threads: 1, level: level)
    let kernels = device.kernels.pointee.pair_products
    guard kernels.element == hadal_bfloat16, let pack = kernels.codes else { return }
    let (n, k, width) = (size.n, size.k, Int(kernels.columns))
    let padded = (k + Int(kernels.unit) - 1) / Int(kernels.unit) * Int(kernels.unit)
    for (isTransposed, tile, first) in [(true, 128, 0), (true, 128, 224), (false, 128, 96), (false, 1, 32)] {
      let (rows, columns) = isTransposed ? (n, first + k) : (k, first + n)
      let codes = (0..<rows * columns).map {
        Float8E4M3(bits: UInt8(truncatingIfNeeded: $0 &* 37 &+ $0 >> 8))
      }
      let perRow = (columns + tile - 1) / tile
      // Two rows of k have scales of their own no sooner than tiles begin.
      let exponents = randomNumbers((rows / (isTransposed ? 1 : 128) + 1) * perRow, "exponents", scale: 30)
      let rowOfScales = { (row: Int) in isTransposed ? row : row / 128 }
      var scales = exponents.map { Float(sign: .plus, exponent: Int($0), significand: 1) }
      var panels = [BFloat16](repeating: BFloat16(bits: 1), count: (n + width - 1) / width * width * padded)
      func packed() -> Bool {
        withPointers(codes, scales, rows: (0..<rows).map { rowOfScales($0) * perRow }) { codes, scales in
          pack(isTransposed, codes + first, columns, scales, first, tile, k, n, &panels)
        }
      }
      #expect(packed())
      for (i, value) in panels.enumerated() {
        let (panel, rest) = i.quotientAndRemainder(dividingBy: padded * width)
        let (p, j) = (rest / (2 * width) * 2 + rest % 2, panel * width + rest % (2 * width) / 2)
        let (row, column) = isTransposed ? (j, first + p) : (p, first + j)
        let expected =
          j < n && p < k
          ? Float(codes[row * columns + column]) * scales[rowOfScales(row) * perRow + column / tile] : 0
        #expect(
          Float(value) == expected || (Float(value).isNaN && expected.isNaN),
          "tile \(tile), k \(p), column \(j)")
      }
      for wrong in [1.5, 0x1p101, 0x1p-101] as [Float] {
        scales[first / tile] = wrong
        #expect(!packed())
      }
    }
  }

  /// - Parameter rows: where the scales of each row begin.
  private func withPointers(
    _ codes: [Float8E4M3], _ scales: [Float], rows: [Int],
    _ body: (UnsafePointer<UInt8>, [UnsafePointer<Float>?]) -> Bool
  ) -> Bool {
    codes.withUnsafeBytes { bytes in
      scales.withUnsafeBufferPointer { scales in
        body(
          bytes.bindMemory(to: UInt8.self).baseAddress!,
          rows.map { row in scales.baseAddress.map { $0 + row } })
      }
    }
  }

  private func panels(
    _ codes: [Float8E4M3], _ scales: [Float], _ isTransposed: Bool, rows: Int, columns: Int, first: Int,
    tile: Int, isScaled: Bool, _ size: (n: Int, k: Int), _ kernels: hadal_product_kernels
  ) -> [Float] {
    let width = Int(kernels.columns)
    var panels = [Float](repeating: -1, count: (size.n + width - 1) / width * width * size.k)
    let perRow = scales.count / rows
    let isExact = withPointers(codes, scales, rows: (0..<rows).map { $0 * perRow }) { codes, scales in
      kernels.codes(
        isTransposed, codes + first, columns, isScaled ? scales : nil, first, tile, size.k, size.n, &panels)
    }
    #expect(isExact)
    return panels
  }

  private func decoded(
    _ codes: [Float8E4M3], _ shape: (rows: Int, columns: Int), index: [Int32]?,
    scales: (values: [Float], row: Int, tile: Int)?, first: Int, width: Int, _ dtype: DType, _ device: Device
  ) -> [Float] {
    let kernels = dtype == .float32 ? device.kernels.pointee.float32 : device.kernels.pointee.bfloat16
    let rows = index?.count ?? shape.rows
    // A column more on each row: nothing may be written there.
    let y = Tensor.zeros([rows, width + 1], dtype, on: device)
    codes.withUnsafeBytes { bytes in
      kernels.decode_e4m3(
        bytes.bindMemory(to: UInt8.self).baseAddress! + first, shape.columns, index, rows, width,
        scales?.values,
        scales?.row ?? 0, first, scales?.tile ?? 128, y.pointer, width + 1)
    }
    let numbers = y.numbers
    #expect((0..<rows).allSatisfy { numbers[$0 * (width + 1) + width] == 0 })
    return (0..<rows).flatMap { numbers[$0 * (width + 1)..<$0 * (width + 1) + width] }
  }

  /// One scale a column or one for 128, set or added, from rows with a stride.
  @Test(arguments: Device.supportedLevels(), [1, 16, 128, 300])
  func promotion(level: String, n: Int) throws {
    let device = try Device(threads: 1, level: level)
    let (rows, ldp, ldc, stride) = (5, n + 3, n + 2, 7)
    let partial = randomNumbers(rows * ldp, "partial")
    let rowScales = randomNumbers(rows * stride, "row scales")
    let columnScales = randomNumbers(n, "column scales")
    let before = randomNumbers(rows * ldc, "sums")
    for (shift, add) in [(0, false), (0, true), (7, false), (7, true)] {
      var c = before
      device.kernels.pointee.promote(
        partial, ldp, rows, n, rowScales, stride, columnScales, shift, add, &c, ldc)
      for i in 0..<rows {
        for j in 0..<ldc {
          let (at, old) = (i * ldc + j, Double(before[i * ldc + j]))
          guard j < n else {
            #expect(c[at] == before[at])
            continue
          }
          let term =
            Double(partial[i * ldp + j]) * Double(rowScales[i * stride]) * Double(columnScales[j >> shift])
          // Two roundings of the term and one of the sum, each half a unit.
          let limit = 0x1.8p-24 * (2 * abs(term) + abs(old))
          #expect(
            abs(Double(c[at]) - (add ? old + term : term)) <= limit, "[\(i), \(j)] shift \(shift), \(add)")
        }
      }
    }
  }
}
