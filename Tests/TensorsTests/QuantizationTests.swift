import Checkpoint
import Numerics
import OracleSupport
import Tensors
import Testing

/// Quantizers on every level, bit for bit: against other software, and against scalar code.
struct QuantizationTests {
  private static let settings = [
    ScaleSettings(), ScaleSettings(powerOfTwo: true), ScaleSettings(amaxFloor: 0),
    ScaleSettings(powerOfTwo: true, amaxFloor: 0), ScaleSettings(amaxFloor: 3),
  ]

  /// One device a level: the scalar references cost more than all kernels, and are made once.
  private let devices: [Device]

  init() throws { devices = try Device.supportedLevels().map { try Device(threads: 2, level: $0) } }

  @Test(arguments: Device.supportedLevels())
  func oracle(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let file = try SafetensorsFile(oracleDirectory + "/fp8/blockwise.safetensors")
    func check(_ found: QuantizedTensor, _ codes: String, _ scales: String) throws {
      let expected = Array(try file.bytes(codes))
      withExtendedLifetime(found) {
        #expect(
          Array(UnsafeRawBufferPointer(start: found.codes.pointer, count: found.codes.count)) == expected)
      }
      #expect(found.scales.numbers == (try file.floats(scales)))
    }
    let x = Tensor([256, 512], try file.floats("x"), on: device)
    let w = Tensor([384, 512], try file.floats("w"), on: device)
    try check(quantizeRows(x, ScaleSettings(amaxFloor: 0)), "x.q", "x.scale")
    try check(quantizeRows(x, ScaleSettings(powerOfTwo: true, amaxFloor: 0)), "x.q_pow2", "x.scale_pow2")
    let blocks = quantizeBlocks(w, period: 384, ScaleSettings(amaxFloor: 0))
    #expect(blocks.scales.shape == [1, 3, 4])
    try check(blocks, "w.q", "w.scale")
  }

  /// Widths below, at and above a tile and no multiples of a vector; all settings.
  @Test(arguments: [DType.float32, .bfloat16])
  func rowsAreAsDefined(_ dtype: DType) {
    for (rows, columns) in [(23, 1), (12, 128), (11, 131), (14, 300)] {
      let x = Sample([rows, columns], dtype, awkwardNumbers(rows: rows, columns: columns, "rows"))
      let tiles = QuantizationReference.rowTiles(rows: rows, columns: columns)
      for settings in Self.settings {
        check(
          QuantizationReference(x.values, tiles: tiles, settings), tiles, dtype, "\(x.shape), \(settings)"
        ) {
          quantizeRows(x.tensor(on: $0), settings)
        }
      }
    }
  }

  @Test(arguments: [DType.float32, .bfloat16])
  func columnsAreAsDefined(_ dtype: DType) {
    // Segments: empty, of one row, short, exact, longer than two tiles.
    for (offsets, columns) in [
      ([0, 0, 1, 40, 168, 425, 425], 21), ([0, 129], 260), ([0, 0], 5), ([0, 6], 257),
    ] {
      let rows = offsets.last!
      let x = Sample([rows, columns], dtype, awkwardNumbers(rows: rows, columns: columns, "columns"))
      let tiles = QuantizationReference.columnTiles(offsets: offsets, columns: columns)
      for settings in Self.settings {
        let expected = QuantizationReference(x.values, tiles: tiles, settings)
        check(expected, tiles, dtype, "\(offsets) × \(columns), \(settings)") {
          quantizeColumns(x.tensor(on: $0), offsets: offsets, settings)
        }
      }
    }
  }

  @Test(arguments: [DType.float32, .bfloat16])
  func blocksAreAsDefined(_ dtype: DType) {
    for (matrices, period, columns) in [(2, 130, 140), (1, 256, 128), (4, 5, 3), (2, 3, 257)] {
      let rows = matrices * period
      let numbers = awkwardNumbers(rows: rows, columns: columns, "blocks")
      let w = Sample([matrices, period, columns], dtype, numbers)
      let tiles = QuantizationReference.blocks(rows: rows, columns: columns, period: period)
      for settings in Self.settings {
        let expected = QuantizationReference(w.values, tiles: tiles, settings)
        check(expected, tiles, dtype, "\(w.shape), \(settings)") { device in
          let first = quantizeBlocks(w.tensor(on: device), period: period, settings)
          #expect(first.scales.shape == [matrices, (period + 127) / 128, (columns + 127) / 128])
          let again = quantizeBlocks(w.tensor(on: device), period: period, settings, into: first)
          #expect(again.codes.pointer == first.codes.pointer && again.scales.pointer == first.scales.pointer)
          return again
        }
      }
    }
  }

  /// Rows picked from another array, several times or never; from numbers, and from codes.
  @Test(arguments: [DType.float32, .bfloat16])
  func gatheredColumns(_ dtype: DType) {
    let (rows, columns, offsets) = (50, 267, [0, 3, 3, 40, 180])
    let index = (0..<180).map { Int32($0 * 7919 % 49) }
    let x = Sample([rows, columns], dtype, awkwardNumbers(rows: rows, columns: columns, "gathered"))
    let tiles = QuantizationReference.columnTiles(offsets: offsets, columns: columns)
    let rowTiles = QuantizationReference.rowTiles(rows: rows, columns: columns)
    func picked(_ values: [Float]) -> [Float] {
      index.flatMap { values[Int($0) * columns..<(Int($0) + 1) * columns] }
    }
    for settings in Self.settings {
      check(QuantizationReference(picked(x.values), tiles: tiles, settings), tiles, dtype, "\(settings)") {
        let gathering = Tensor([index.count], index, on: $0)
        return quantizeColumns(x.tensor(on: $0), offsets: offsets, gathering: gathering, settings)
      }
      let values = QuantizationReference(x.values, tiles: rowTiles, settings).values(tiles: rowTiles)
      let turned = QuantizationReference(picked(values), tiles: tiles, settings)
      check(turned, tiles, dtype, "requantized, \(settings)") {
        let gathering = Tensor([index.count], index, on: $0)
        let codes = quantizeRows(x.tensor(on: $0), settings)
        return requantizeColumns(codes, offsets: offsets, gathering: gathering, settings)
      }
    }
  }

  @Test func requantizedColumns() {
    for (rows, columns) in [(1, 1), (130, 129), (7, 384)] {
      let x = awkwardNumbers(rows: rows, columns: columns, "requantized")
      let rowTiles = QuantizationReference.rowTiles(rows: rows, columns: columns)
      let tiles = QuantizationReference.columnTiles(offsets: [0, rows], columns: columns)
      for settings in Self.settings {
        let values = QuantizationReference(x, tiles: rowTiles, settings).values(tiles: rowTiles)
        let expected = QuantizationReference(values, tiles: tiles, settings)
        check(expected, tiles, .float32, "\(rows) × \(columns), \(settings)") {
          requantizeColumns(quantizeRows(Tensor([rows, columns], x, on: $0), settings), settings)
        }
      }
    }
  }

  /// Both forms in one pass, with tiles whose numbers are all finite (which take a way of their own) and others.
  @Test(arguments: [DType.float32, .bfloat16])
  func rowsAndColumnsInOnePass(_ dtype: DType) {
    for (offsets, columns) in [
      ([0, 0, 1, 40, 168, 300], 130), ([0, 129], 400), ([0, 0], 5), ([0, 6], 257),
    ] {
      let rows = offsets.last!
      var numbers = awkwardNumbers(rows: rows, columns: columns, "both")
      for i in numbers.indices where i % columns >= 128 && !numbers[i].isFinite { numbers[i] = -2.5 }
      let x = Sample([rows, columns], dtype, numbers)
      let rowTiles = QuantizationReference.rowTiles(rows: rows, columns: columns)
      let columnTiles = QuantizationReference.columnTiles(offsets: offsets, columns: columns)
      for settings in Self.settings {
        let name = "\(offsets) × \(columns), \(settings)"
        let expectedRows = QuantizationReference(x.values, tiles: rowTiles, settings)
        let expectedColumns = QuantizationReference(x.values, tiles: columnTiles, settings)
        check(expectedRows, rowTiles, dtype, "rows, \(name)") {
          quantizeRowsAndColumns(x.tensor(on: $0), offsets: offsets, settings).rows
        }
        check(expectedColumns, columnTiles, dtype, "columns, \(name)") {
          quantizeRowsAndColumns(x.tensor(on: $0), offsets: offsets, settings).columns
        }
      }
    }
  }

  /// Every finite bfloat16 number, in tiles of one magnitude: with scales that divide evenly and ones that do not, the
  /// codes of a division that is rounded once.
  @Test func everyFiniteNumber() {
    let values = (0..<0x7f80).flatMap { bits in
      [Float(BFloat16(bits: UInt16(bits))), -Float(BFloat16(bits: UInt16(bits)))]
    }
    let (rows, columns) = (values.count / 256, 256)
    let x = Sample([rows, columns], .bfloat16, values)
    let tiles = QuantizationReference.rowTiles(rows: rows, columns: columns)
    let across = QuantizationReference.columnTiles(offsets: [0, rows], columns: columns)
    for settings in Self.settings {
      check(QuantizationReference(x.values, tiles: tiles, settings), tiles, .bfloat16, "rows, \(settings)") {
        quantizeRows(x.tensor(on: $0), settings)
      }
      check(
        QuantizationReference(x.values, tiles: across, settings), across, .bfloat16, "columns, \(settings)"
      ) {
        quantizeColumns(x.tensor(on: $0), settings)
      }
    }
  }

  /// On every level the codes and scales of the reference; and its values, rounded once for bfloat16.
  private func check(
    _ expected: QuantizationReference, _ tiles: [[Int]], _ dtype: DType, _ name: String,
    _ quantize: (Device) -> QuantizedTensor
  ) {
    let exact = expected.values(tiles: tiles)
    let values = dtype == .bfloat16 ? exact.map { Float(BFloat16($0)) } : exact
    for device in devices {
      let found = quantize(device)
      #expect(firstDifference(found, expected) == nil, "\(device.level), \(name)")
      #expect(found.byteCount == expected.codes.count + 4 * expected.scales.count)
      let numbers = found.dequantized(to: dtype).numbers
      let first = values.indices.first {
        numbers[$0] != values[$0] && !(numbers[$0].isNaN && values[$0].isNaN)
      }
      #expect(
        numbers.count == values.count && first == nil, "\(device.level), value [\(first ?? 0)], \(name)")
    }
  }
}
