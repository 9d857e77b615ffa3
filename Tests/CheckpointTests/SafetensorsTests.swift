import Checkpoint
import Foundation
import Testing

@Suite struct SafetensorsTests {
  /// The tensors of `every_type.safetensors`, in the order of the file.
  static let everyType: [TensorRecord] = {
    let types: [(String, ScalarType)] = [
      ("uint64", .uint64), ("int64", .int64), ("float64", .float64), ("float32", .float32),
      ("uint32", .uint32),
      ("int32", .int32), ("bfloat16", .bfloat16), ("float16", .float16), ("uint16", .uint16),
      ("int16", .int16),
      ("float8_e8m0fnu", .float8E8M0), ("float8_e4m3fn", .float8E4M3), ("float8_e5m2", .float8E5M2),
      ("int8", .int8), ("uint8", .uint8), ("bool", .bool),
    ]
    var records = types.map { TensorRecord(name: "of.\($0)", type: $1, shape: [3, 5]) }
    records.insert(TensorRecord(name: "scalar", type: .float32, shape: []), at: 4)
    records.insert(TensorRecord(name: "empty", type: .bfloat16, shape: [0, 4]), at: 7)
    let awkward = "quote \" slash \\ / line \n tab \t bell \u{7} é 深"
    records.insert(TensorRecord(name: awkward, type: .uint8, shape: [7]), at: 17)
    return records
  }()
  static let everyTypeHash = "bece2ac10ae901fc775478168a7f61d364eeb884e6d0bb7ab83b4b9ca7a1949b"

  @Test func readsWhatTheReferenceImplementationWrote() throws {
    let file = try SafetensorsFile(golden("every_type.safetensors"))
    #expect(file.metadata == ["format": "pt"])
    #expect(file.names == Self.everyType.map(\.name))
    #expect(Set(Self.everyType.map(\.type)) == Set(ScalarType.allCases))
    for record in Self.everyType {
      #expect(try file.entry(record.name) == record)
      #expect(try Array(file.bytes(record.name)) == content(record), "\(record.name)")
    }
    #expect(try SafetensorsFile(golden("no_tensors.safetensors")).names.isEmpty)
  }

  @Test(arguments: [1 << 30, 4, 1])
  func writesTheBytesOfTheReferenceImplementation(pieceBytes: Int) throws {
    let scratch = try Scratch()
    let path = scratch.file("every.safetensors")
    let writer = try SafetensorsWriter(Self.everyType, metadata: ["format": "pt"])
    let digest = try writer.write(to: path, bytes: contentProvider(Self.everyType, pieceBytes: pieceBytes))
    #expect(try readBytes(path) == readBytes(golden("every_type.safetensors")))
    #expect(digest == FileDigest(length: writer.fileLength, sha256: Self.everyTypeHash))
    #expect(try FileDigest(ofFileAt: path) == digest)

    let empty = scratch.file("empty.safetensors")
    try SafetensorsWriter([]).write(to: empty, bytes: contentProvider([]))
    #expect(try readBytes(empty) == readBytes(golden("no_tensors.safetensors")))
  }

  @Test func alignsEveryTensorToItsElements() throws {
    let scratch = try Scratch()
    let records = [
      TensorRecord(name: "a", type: .int8, shape: [3]), TensorRecord(name: "b", type: .float32, shape: [5]),
      TensorRecord(name: "c", type: .bfloat16, shape: [1]),
      TensorRecord(name: "d", type: .float64, shape: [2]),
    ]
    let path = scratch.file("mixed.safetensors")
    try SafetensorsWriter(records).write(to: path, bytes: contentProvider(records))
    let file = try SafetensorsFile(path)
    #expect(file.names == ["d", "b", "c", "a"])
    for record in records {
      let bytes = try file.bytes(record.name)
      #expect(Array(bytes) == content(record))
      #expect(UInt(bitPattern: bytes.baseAddress).isMultiple(of: UInt(record.type.width)), "\(record.name)")
    }
  }

  @Test func writesTensorsLargerThanItsBuffer() throws {
    let scratch = try Scratch()
    let records = [
      TensorRecord(name: "norm", type: .float32, shape: [7]),
      TensorRecord(name: "large", type: .float32, shape: [700_001]),
      TensorRecord(name: "tail", type: .uint8, shape: [1_048_577]),
    ]
    let path = scratch.file("large.safetensors")
    let digest = try SafetensorsWriter(records).write(
      to: path, bytes: contentProvider(records, pieceBytes: 1_500_000))
    #expect(try FileDigest(ofFileAt: path) == digest)
    let file = try SafetensorsFile(path)
    for record in records { #expect(try Array(file.bytes(record.name)) == content(record)) }
  }

  @Test func hashIsSHA256() throws {
    let scratch = try Scratch()
    // FIPS 180-2, appendix B.1.
    let digest = try FileDigest(ofFileAt: scratch.write(Array("abc".utf8), as: "abc"))
    #expect(digest.length == 3)
    #expect(digest.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }

  @Test func unknownTensorIsNamed() throws {
    let file = try SafetensorsFile(golden("every_type.safetensors"))
    let error = try #require(throws: CheckpointError.self) { _ = try file.bytes("of.int3") }
    #expect(error.kind == .missing)
    #expect(error.message.contains("\"of.int3\""))
    #expect(!file.contains("of.int3") && file.contains("scalar"))
  }

  @Test func existingFileIsNotOverwritten() throws {
    let scratch = try Scratch()
    let path = try scratch.write([1, 2, 3], as: "kept.safetensors")
    let error = try #require(throws: CheckpointError.self) {
      try SafetensorsWriter([]).write(to: path, bytes: contentProvider([]))
    }
    #expect(error.kind == .system(EEXIST) && error.path == path)
    #expect(try readBytes(path) == [1, 2, 3])
  }
}
