import Numerics
import Tensors
import Testing

/// What quantizers count, on every level.
struct QuantizationStatisticsTests {
  /// The smallest magnitude and the scales of a call, in words that tests compare.
  private func summary(_ s: QuantizationStatistics) -> [Double] {
    [
      Double(s.elements), Double(s.amax), Double(s.nonFinite), Double(s.saturated), Double(s.flushed),
      Double(s.leastScale), Double(s.greatestScale),
    ]
  }

  private func expected(_ x: [Float], _ reference: QuantizationReference) -> [Double] {
    let amax = x.filter(\.isFinite).map(\.magnitude).max() ?? 0
    return [
      Double(x.count), Double(amax), Double(reference.nonFinite), 0, Double(reference.flushed),
      Double(reference.scales.min() ?? .infinity), Double(reference.scales.max() ?? 0),
    ]
  }

  @Test(arguments: Kernel.all, [false, true])
  func everyQuantizerCounts(_ kernel: Kernel, powerOfTwo: Bool) throws {
    let device = try kernel.device(threads: 3)
    let (rows, columns) = (132, 150)
    let settings = ScaleSettings(powerOfTwo: powerOfTwo)
    let x = Sample([rows, columns], kernel.dtype, awkwardNumbers(rows: rows, columns: columns, "statistics"))
    let tensor = x.tensor(on: device)
    func check(_ tiles: [[Int]], _ name: String, _ body: (QuantizationStatistics?) -> QuantizedTensor) {
      let statistics = QuantizationStatistics()
      let reference = QuantizationReference(x.values, tiles: tiles, settings)
      #expect(firstDifference(body(statistics), reference) == nil, "\(name): counting changes codes")
      #expect(summary(statistics) == expected(x.values, reference), "\(name)")
      #expect(reference.flushed > 0 && reference.nonFinite > 0)
      let counted = statistics.flushed
      #expect(firstDifference(body(statistics), reference) == nil && statistics.flushed == 2 * counted)
    }
    check(QuantizationReference.rowTiles(rows: rows, columns: columns), "rows") {
      quantizeRows(tensor, settings, statistics: $0)
    }
    check(QuantizationReference.columnTiles(offsets: [0, 70, rows], columns: columns), "columns") {
      quantizeColumns(tensor, offsets: [0, 70, rows], settings, statistics: $0)
    }
    check(QuantizationReference.rowTiles(rows: rows, columns: columns), "rows beside columns") {
      quantizeRowsAndColumns(tensor, settings, statistics: ($0, nil)).rows
    }
    check(QuantizationReference.columnTiles(offsets: [0, 70, rows], columns: columns), "columns beside rows")
    {
      quantizeRowsAndColumns(tensor, offsets: [0, 70, rows], settings, statistics: (nil, $0)).columns
    }
    check(QuantizationReference.blocks(rows: rows, columns: columns, period: 66), "blocks") {
      quantizeBlocks(tensor, period: 66, settings, statistics: $0)
    }
  }

  @Test(arguments: Kernel.all)
  func packingCounts(_ kernel: Kernel) throws {
    let device = try kernel.device(threads: 3)
    let (rows, columns) = (40, 300)
    var numbers = awkwardNumbers(rows: rows, columns: columns, "statistics")
    // Too small for a tile of ones, whose scale is 2⁻¹⁵: below half of the least code.
    for c in 128..<256 { numbers[c] = c == 130 ? 0x1p-37 : 1 }
    let x = Sample([rows, columns], kernel.dtype, numbers)
    let statistics = QuantizationStatistics()
    let codes = packE5M6(x.tensor(on: device), statistics: statistics)
    let values = codes.unpacked(to: .float32).numbers
    let flushed = zip(x.values, values).count { $0 != 0 && $1 == 0 }
    #expect(statistics.flushed == flushed && flushed > 0 && values[130] == 0)
    #expect(statistics.nonFinite == x.values.count { !$0.isFinite } && statistics.saturated == 0)
    #expect(statistics.elements == rows * columns)
    #expect(statistics.leastScale == codes.scales.numbers.min())
    #expect(statistics.greatestScale == codes.scales.numbers.max())
  }

  @Test func nothingQuantizedIsNothingCounted() {
    let statistics = QuantizationStatistics()
    #expect(summary(statistics) == [0, 0, 0, 0, 0, .infinity, 0])
  }
}
