import Checkpoint
import Foundation
import Tensors
import Testing

/// E4M3 weights with their scales, and half precision, in directories of other software.
struct BlockScalesTests {
  private let scratch: Scratch
  private let device: Device

  init() throws {
    scratch = try Scratch()
    device = try Device(threads: 2)
  }

  private func write(_ records: [TensorRecord], as name: String = "model.safetensors") throws {
    try SafetensorsWriter(records).write(to: scratch.file(name), bytes: contentProvider(records))
  }

  private func weight(_ shape: [Int], _ type: ScalarType = .float8E4M3) -> TensorRecord {
    TensorRecord(name: "w.weight", type: type, shape: shape)
  }

  private func scales(_ shape: [Int], _ type: ScalarType = .float32) -> TensorRecord {
    TensorRecord(name: "w.weight_scale_inv", type: type, shape: shape)
  }

  @Test func scalesArePartsOfTheirWeights() throws {
    try write([weight([129, 256]), scales([2, 2]), TensorRecord(name: "norm", type: .bfloat16, shape: [3])])
    let directory = try HuggingFaceDirectory(scratch.path)
    #expect(Set(directory.names) == ["norm", "w.weight"])
    #expect(try directory.scales("w.weight")?.count == 16)
    #expect(try directory.scales("norm") == nil)
  }

  @Test func pairsThatDoNotFitAreRefused() throws {
    let cases: [(records: [TensorRecord], words: [String])] = [
      ([weight([129, 256])], ["\"w.weight\" is F8_E4M3 [129, 256]", "\"w.weight_scale_inv\" are missing"]),
      ([weight([129, 256]), scales([2, 3])], ["F32 [2, 2]", "it is F32 [2, 3]"]),
      ([weight([129, 256]), scales([4])], ["F32 [2, 2]", "it is F32 [4]"]),
      ([weight([129, 256]), scales([2, 2], .bfloat16)], ["F32 [2, 2]", "it is BF16 [2, 2]"]),
      ([weight([128]), scales([1])], ["F8_E4M3 [128]", "only a matrix"]),
      ([scales([2, 2])], ["\"w.weight_scale_inv\" belongs to \"w.weight\", which is missing"]),
      ([weight([129, 256], .bfloat16), scales([2, 2])], ["which is BF16 and has no scales"]),
    ]
    for (records, words) in cases {
      try? FileManager.default.removeItem(atPath: scratch.file("model.safetensors"))
      try write(records)
      let error = try #require(throws: CheckpointError.self) { _ = try HuggingFaceDirectory(scratch.path) }
      #expect(error.kind == .malformed && error.path == scratch.path)
      for word in words + ["model.safetensors: "] { #expect(error.message.contains(word), "\(error)") }
    }
  }

  /// The value of a code, from the definition of the format: sign, 4 bits of exponent, 3 of mantissa.
  private func value(_ code: UInt8) -> Double {
    let (exponent, mantissa) = (Int(code >> 3) & 15, Double(code & 7))
    let magnitude = exponent == 0 ? mantissa / 8 * exp2(-6) : (1 + mantissa / 8) * exp2(Double(exponent - 7))
    return code & 0x80 == 0 ? magnitude : -magnitude
  }

  /// Blocks that are short at both edges; the codes that are no number are left out.
  @Test(arguments: [DType.float32, .bfloat16])
  func codesAreMultipliedByTheScalesOfTheirBlocks(_ dtype: DType) throws {
    let (rows, columns) = (130, 261)
    let codes = (0..<rows * columns).map { UInt8(truncatingIfNeeded: $0 &* 37) }
      .map { $0 & 0x7f == 0x7f ? 0x7e : $0 }
    let factors = (0..<6).map { 0.5 + Float($0) / 3 }
    let records = [weight([rows, columns]), scales([2, 3])]
    try SafetensorsWriter(records).write(to: scratch.file("model.safetensors")) {
      (name, write) throws(CheckpointError) in
      let bytes = name == "w.weight" ? codes : factors.withUnsafeBytes { Array($0) }
      let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
      defer { whole.deallocate() }
      whole.copyBytes(from: bytes)
      try write(UnsafeRawBufferPointer(whole))
    }
    let tensor = Tensor([rows, columns], dtype, on: device)
    try HuggingFaceDirectory(scratch.path).load(into: [NamedTensor(name: "w.weight", tensor: tensor)])
    let found = tensor.converted(to: .float32).copied()
    for index in codes.indices {
      let factor = factors[index / columns / 128 * 3 + index % columns / 128]
      let exact = value(codes[index]) * Double(factor)
      // Rounded once to float32, and once more to 8 bits of mantissa.
      let limit = abs(exact) * (dtype == .float32 ? exp2(-24) : exp2(-8) + exp2(-24))
      try #require(
        abs(Double(found.floats[index]) - exact) <= limit, "\(index): \(found.floats[index]), \(exact)")
    }
  }

  @Test func halvesAreWidened() throws {
    // 0, -0, the least subnormal, 1, 1 and a bit, the greatest, -2.
    let halves: [UInt16] = [0, 0x8000, 1, 0x3c00, 0x3c01, 0x7bff, 0xc000]
    let expected: [Float] = [0, -0.0, 0x1p-24, 1, 1 + 0x1p-10, 65504, -2]
    let record = TensorRecord(name: "a", type: .float16, shape: [7])
    try SafetensorsWriter([record]).write(to: scratch.file("model.safetensors")) {
      (_, write) throws(CheckpointError) in
      let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: 14, alignment: 8)
      defer { whole.deallocate() }
      halves.withUnsafeBytes { whole.copyMemory(from: $0) }
      try write(UnsafeRawBufferPointer(whole))
    }
    let tensor = Tensor([7], on: device)
    try HuggingFaceDirectory(scratch.path).load(into: [NamedTensor(name: "a", tensor: tensor)])
    #expect(tensor.floats.map(\.bitPattern) == expected.map(\.bitPattern))
  }

  @Test func otherTypesAreRefused() throws {
    for type in [ScalarType.float64, .int8, .float8E5M2, .float8E8M0] {
      try? FileManager.default.removeItem(atPath: scratch.file("model.safetensors"))
      try write([weight([2, 2], type)])
      let directory = try HuggingFaceDirectory(scratch.path)
      let error = try #require(throws: CheckpointError.self) {
        try directory.requireReadable([weight([2, 2], .float32)])
      }
      #expect(
        error.message.contains("\"w.weight\" is \(type.rawValue), which cannot be read as F32"), "\(error)")
    }
  }
}
