import CKernels
import Numerics
import Tensors
import Testing

/// What products of codes are made of: decoding any part of a matrix, and scaling the sums of tiles.
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

  /// Sums of each tile of k times both scales, stored, added and rounded, in panels that are whole and cut short; each
  /// element with a bound of its own, and nothing beside it written.
  @Test(
    arguments: Kernel.all,
    [(1, 1, 1), (3, 16, 128), (13, 33, 129), (32, 64, 300), (14, 70, 512)] as [(Int, Int, Int)])
  func scaledProducts(_ kernel: Kernel, _ size: (rows: Int, n: Int, k: Int)) throws {
    let device = try kernel.device(threads: 1)
    let levels = device.kernels.pointee
    let kernels = kernel.dtype == .float32 ? levels.float_products : levels.pair_products
    let (rows, n, k) = (min(size.rows, Int(kernels.rows)), size.n, size.k)
    let (width, unit) = (Int(kernels.columns), Int(kernels.unit))
    let (padded, wide) = ((k + unit - 1) / unit * unit, (n + width - 1) / width * width)
    let (a, b) = (Sample([rows, k], .bfloat16, "left"), Sample([k, n], .bfloat16, "right"))
    let before = Sample([rows, n + 2], .bfloat16, "sums")
    let (rowTile, columnTile) = (rows + 1, wide + 3)
    let row = Sample([(k + 127) / 128, rowTile], .float32, "row scales")
    let column = Sample([(k + 127) / 128, columnTile], .float32, "column scales")
    let (left, right) = (a.tensor(on: device), b.tensor(on: device))
    let (panel, panels) = (
      Tensor.zeros([Int(kernels.rows), padded], on: device), Tensor.zeros([wide, padded], on: device)
    )
    kernels.bfloat16.a(false, left.pointer, k, nil, k, rows, panel.pointer)
    kernels.bfloat16.b(false, right.pointer, n, nil, k, n, panels.pointer)
    for output in [hadal_store_float32, hadal_add_float32, hadal_store_bfloat16] {
      let y = before.tensor(on: device)
        .converted(to: output == hadal_store_bfloat16 ? .bfloat16 : .float32)
      row.values.withUnsafeBufferPointer { row in
        column.values.withUnsafeBufferPointer { column in
          var scales = hadal_tile_scales(
            row: row.baseAddress, column: column.baseAddress, row_tile: rowTile, column_tile: columnTile)
          kernels.multiply(
            rows, k, panel.pointer, padded, 1, panels.pointer, padded * width, width, n, &scales, y.pointer,
            n + 2, output)
        }
      }
      let found = y.numbers
      for i in 0..<rows {
        let beside = i * (n + 2) + n..<(i + 1) * (n + 2)
        #expect(found[beside] == before.values[beside])
        for j in 0..<n {
          let place = i * (n + 2) + j
          var sum: Double = output == hadal_add_float32 ? before[place] : 0
          var size = abs(sum)
          for p in 0..<k {
            let factor = row[p / 128 * rowTile + i] * column[p / 128 * columnTile + j]
            let term = a[i * k + p] * b[p * n + j] * factor
            sum += term
            size += abs(term)
          }
          // A rounding for each term, three for each tile; one of the result where it is stored as bfloat16.
          var limit = Double(k + 3 * (k + 127) / 128) * 0x1p-24 * size
          if output == hadal_store_bfloat16 { limit += 0x1p-8 * abs(sum) }
          #expect(abs(Double(found[place]) - sum) <= limit, "[\(i), \(j)] \(output)")
        }
      }
    }
  }
}
