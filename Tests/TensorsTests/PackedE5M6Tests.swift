import Numerics
import Tensors
import Testing

/// E5M6 activations on every level, bit for bit against scalar code.
struct PackedE5M6Tests {
  @Test(arguments: Kernel.all)
  func packsAsDefined(_ kernel: Kernel) throws {
    let device = try kernel.device()
    for (rows, columns) in [(9, 1), (12, 128), (13, 131), (11, 300)] {
      let x = Sample([rows, columns], kernel.dtype, awkwardNumbers(rows: rows, columns: columns, "E5M6"))
      for floor: Float in [0, 1e-4] {
        let settings = ScaleSettings(powerOfTwo: true, amaxFloor: floor)
        var scales: [Float] = []
        var codes = [E5M6](repeating: E5M6(bits: 0), count: rows * columns)
        for tile in QuantizationReference.rowTiles(rows: rows, columns: columns) {
          let scale = QuantizationReference.scale(
            tile.map { x.values[$0] }, settings, greatest: E5M6.greatestFinite)
          scales.append(scale)
          for i in tile { codes[i] = E5M6(x.values[i].isInfinite ? x.values[i] * 0 : x.values[i] / scale) }
          for i in tile where x.values[i].isInfinite {
            codes[i] = E5M6(bits: x.values[i] < 0 ? 0xfff : 0x7ff)
          }
        }
        let found = packE5M6(x.tensor(on: device), amaxFloor: floor)
        #expect(found.shape == [rows, columns] && found.scales.numbers == scales)
        #expect(found.byteCount == rows * ((columns + 1) / 2 * 3) + 4 * scales.count)
        #expect(bytes(found) == packed(codes, columns: columns), "\(rows) × \(columns), floor \(floor)")
        compare(found, codes, scales, kernel.dtype)
      }
    }
  }

  private func bytes(_ x: PackedE5M6) -> [UInt8] {
    withExtendedLifetime(x) { Array(x.codes.elements(UInt8.self)) }
  }

  private func packed(_ codes: [E5M6], columns: Int) -> [UInt8] {
    stride(from: 0, to: codes.count, by: columns).flatMap { row in
      stride(from: 0, to: columns, by: 2).flatMap { c in
        let second = c + 1 < columns ? codes[row + c + 1] : E5M6(bits: 0)
        let (a, b, c) = E5M6.packed(codes[row + c], second)
        return [a, b, c]
      }
    }
  }

  private func compare(_ found: PackedE5M6, _ codes: [E5M6], _ scales: [Float], _ dtype: DType) {
    let (values, columns) = (found.unpacked(to: dtype).numbers, found.shape[1])
    let tiles = (columns + 127) / 128
    #expect(values.count == codes.count)
    for (i, code) in codes.enumerated() {
      let exact = Float(code) * scales[i / columns * tiles + i % columns / 128]
      let expected = dtype == .bfloat16 ? Float(BFloat16(exact)) : exact
      #expect(values[i] == expected || (values[i].isNaN && expected.isNaN), "[\(i)]")
    }
  }
}
