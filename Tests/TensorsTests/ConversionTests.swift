import Numerics
import Tensors
import Testing

/// float32 to bfloat16 and back on every level: the vector code must round as `BFloat16` does.
struct ConversionTests {
  private let codes = Array(UInt16.min...UInt16.max)

  @Test(arguments: Device.supportedLevels())
  func everyCodeSurvives(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let codes = Tensor([self.codes.count], self.codes.map { BFloat16(bits: $0) }, on: device)
    let wide = codes.converted(to: .float32)
    let back = wide.converted(to: .bfloat16)
    for (i, code) in self.codes.enumerated() {
      let value = wide.floats[i]
      guard value.bitPattern == UInt32(code) << 16 else {
        return #expect(Bool(false), "code \(code) became \(value)")
      }
      // A signaling NaN comes back quiet.
      let expected = value.isNaN ? code | 0x40 : code
      let found = back.elements(BFloat16.self)[i].bits
      guard found == expected else {
        return #expect(found == expected, "code \(code), value \(value)")
      }
    }
  }

  /// Below, at and above the middle between neighbors, for every code, infinities and NaN included.
  @Test(arguments: Device.supportedLevels())
  func roundingIsThatOfTheScalarType(level: String) throws {
    let device = try Device(threads: 2, level: level)
    for lower in [0x0001, 0x7fff, 0x8000, 0x8001, 0xffff] as [UInt32] {
      let values = codes.map { Float(bitPattern: UInt32($0) << 16 | lower) }
      let tensor = Tensor([values.count], values, on: device).converted(to: .bfloat16)
      let found = withExtendedLifetime(tensor) { Array(tensor.elements(BFloat16.self)) }
      for (i, value) in values.enumerated() where found[i] != BFloat16(value) {
        return #expect(found[i] == BFloat16(value), "\(value), pattern \(value.bitPattern)")
      }
    }
  }

  @Test func sameTypeIsTheSameMemory() throws {
    let device = try Device(threads: 1)
    let x = Sample([3, 5], .float32, "same").tensor(on: device)
    #expect(x.converted(to: .float32).pointer == x.pointer)
    let copy = x.copied()
    #expect(copy.pointer != x.pointer && copy.numbers == x.numbers)
  }

  @Test(arguments: DType.allCases)
  func zeros(_ dtype: DType) throws {
    let device = try Device(threads: 3)
    // Dirty the block that comes back from the pool.
    do {
      let dirty = Tensor([1000], dtype, on: device)
      withExtendedLifetime(dirty) {
        _ = dirty.pointer.initializeMemory(as: UInt8.self, repeating: 0xff, count: dirty.byteCount)
      }
    }
    let zeros = Tensor.zeros([1000], dtype, on: device)
    withExtendedLifetime(zeros) {
      let bytes = UnsafeRawBufferPointer(start: zeros.pointer, count: zeros.byteCount)
      #expect(bytes.allSatisfy { $0 == 0 })
    }
  }
}
