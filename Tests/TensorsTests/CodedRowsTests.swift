import Numerics
import Tensors
import Testing

/// Kernels that write codes beside or instead of numbers: the codes of the numbers that they write otherwise.
struct CodedRowsTests {
  private static let settings = [ScaleSettings(), ScaleSettings(powerOfTwo: true, amaxFloor: 0)]
  /// Rows that are no multiple of what is worked on together, more than one thread's; widths of no whole tile.
  private static let shapes = [[23, 300], [1, 128], [300, 131], [2, 5]]

  private func bits(_ tensor: Tensor) -> [UInt8] {
    withExtendedLifetime(tensor) {
      Array(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.byteCount))
    }
  }

  private func expectSame(_ found: QuantizedTensor, _ expected: QuantizedTensor, _ name: String) {
    #expect(found.shape == expected.shape && found.tiling == expected.tiling, "\(name)")
    #expect(found.hasPowerOfTwoScales == expected.hasPowerOfTwoScales, "\(name)")
    #expect(bits(found.codes) == bits(expected.codes), "codes, \(name)")
    #expect(bits(found.scales) == bits(expected.scales), "scales, \(name)")
  }

  /// Everything but the elements' number, which is that of the calls.
  private func summary(_ s: QuantizationStatistics) -> [Double] {
    [
      Double(s.elements), Double(s.amax), Double(s.nonFinite), Double(s.saturated), Double(s.flushed),
      Double(s.leastScale), Double(s.greatestScale),
    ]
  }

  /// Codes, numbers where they are kept, and counts, as the kernel and the quantizer give them one after the other.
  private func check(
    _ y: Tensor, _ name: String, _ coded: (RowCoding, QuantizationStatistics?) -> CodedRows
  ) {
    for settings in Self.settings {
      for keeps in [false, true] {
        for counts in [false, true] {
          let (one, two) = (QuantizationStatistics(), QuantizationStatistics())
          let expected = quantizeRows(y, settings, statistics: one)
          let found = coded(RowCoding(settings, keepsNumbers: keeps), counts ? two : nil)
          expectSame(found.codes, expected, "\(name), \(settings)")
          #expect(found.scales == settings && (found.numbers != nil) == keeps, "\(name)")
          if let numbers = found.numbers { #expect(bits(numbers) == bits(y), "numbers, \(name)") }
          if counts { #expect(summary(two) == summary(one), "\(name)") }
        }
      }
    }
  }

  @Test(arguments: Kernel.all)
  func norms(_ kernel: Kernel) throws {
    let device = try kernel.device(threads: 3)
    for shape in Self.shapes {
      let sample = { (name: String) in Sample(shape, kernel.dtype, name).tensor(on: device) }
      let (x, a, b) = (sample("x"), sample("a"), sample("b"))
      let gain = Sample([shape[1]], .float32, "gain").tensor(on: device)
      let (y, rstd) = rmsNorm(x, gain: gain, epsilon: 0.1)
      check(y, "norm of \(shape)") {
        let found = rmsNorm(x, gain: gain, epsilon: 0.1, $0, statistics: $1)
        #expect(bits(found.rstd) == bits(rstd))
        return found.y
      }
      for branches in [[a], [a, b]] {
        let (sum, y, rstd) = residualNorm(x, branches, gain: gain, epsilon: 0.1)
        check(y, "norm of \(shape) and \(branches.count) branches") {
          let found = residualNorm(x, branches, gain: gain, epsilon: 0.1, $0, statistics: $1)
          #expect(bits(found.sum) == bits(sum) && bits(found.rstd) == bits(rstd))
          return found.y
        }
      }
    }
  }

  @Test(arguments: Kernel.all)
  func gatedUnits(_ kernel: Kernel) throws {
    let device = try kernel.device(threads: 3)
    for shape in Self.shapes {
      let h = Sample([shape[0], 2 * shape[1]], kernel.dtype, "h", scale: 3).tensor(on: device)
      for kept in [nil] + Self.settings {
        check(swiglu(h), "SwiGLU of \(shape)") {
          let found = swiglu(h, $0, keeping: kept, statistics: $1)
          #expect((found.h != nil) == (kept != nil))
          if let kept, let codes = found.h { expectSame(codes, quantizeRows(h, kept), "h of \(shape)") }
          return found.a
        }
      }
    }
  }

  /// E4M3 and E5M6 of the same rows.
  @Test(arguments: Kernel.all)
  func rowsAndE5M6(_ kernel: Kernel) throws {
    let device = try kernel.device(threads: 3)
    for shape in Self.shapes {
      let numbers = awkwardNumbers(rows: shape[0], columns: shape[1], "o")
      let x = Sample(shape, kernel.dtype, numbers).tensor(on: device)
      for settings in Self.settings {
        let counts = (0..<4).map { _ in QuantizationStatistics() }
        let found = quantizeRowsAndPack(
          x, settings, amaxFloor: 1e-3, statistics: (codes: counts[0], packed: counts[1]))
        expectSame(found.codes, quantizeRows(x, settings, statistics: counts[2]), "\(shape), \(settings)")
        let packed = packE5M6(x, amaxFloor: 1e-3, statistics: counts[3])
        #expect(bits(found.packed.codes) == bits(packed.codes), "\(shape)")
        #expect(bits(found.packed.scales) == bits(packed.scales) && found.packed.shape == shape)
        #expect(summary(counts[0]) == summary(counts[2]) && summary(counts[1]) == summary(counts[3]))
      }
    }
  }
}
