import Checkpoint
import Foundation
import Testing

/// Files that must be refused, with a message that says why.
@Suite struct SafetensorsDamageTests {
  /// A file with this header text and this many bytes of data.
  private static func file(_ header: String, data: Int = 8) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init) + Array(header.utf8)
      + [UInt8](repeating: 1, count: data)
  }

  private func expectRefusal(_ bytes: [UInt8], _ message: String) throws {
    let scratch = try Scratch()
    let path = try scratch.write(bytes, as: "bad.safetensors")
    let error = try #require(throws: CheckpointError.self, "\(message)") { _ = try SafetensorsFile(path) }
    #expect(error.kind == .malformed)
    #expect(error.path == path)
    #expect(error.message.contains(message), "\(error.message) does not contain: \(message)")
  }

  @Test(arguments: [
    (#"{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}"#, #"the dtype "F31" is not known"#),
    (#"{"a":{"dtype":4,"shape":[2],"data_offsets":[0,8]}}"#, "a string expected"),
    (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, "-2 is negative"),
    (#"{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}"#, "2.0 is not an integer"),
    (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, "takes 12 bytes"),
    (#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, "overflows"),
    (#"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}"#, "64 bits"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, "[8, 0] is not a range"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, "within the 8 bytes"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#, "[0] is not a range"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}"#, "more than 2 numbers"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, "leaves a hole"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, "end at byte"),
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#
        + #""b":{"dtype":"U8","shape":[1],"data_offsets":[7,8]}}"#,
      "overlaps"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#
        + #""a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
      #"the key "a" occurs twice"#
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#
        + #""\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
      #"the key "a" occurs twice"#
    ),
    (#"{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "occurs twice"),
    (#"{"a":{"dtype":"F32","shape":[2]}}"#, "needs"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, #"the key "x" is not known"#),
    (#"{"__metadata__":{"a":1}}"#, "expected"),
    (#"{"__metadata__":{"a":"1","a":"2"}}"#, "occurs twice"),
    (#"["a"]"#, "a header begins with"),
    (#" {}"#, "a header begins with"),
    (#"{} x"#, "text after the end"),
    (#"{"a":"#, "expected, but the text ends"),
    (#"{"a"#, "without an end"),
    (#"{"\ud800":1}"#, "surrogate"),
    (#"{"\ud800\u0041":1}"#, "surrogate"),
    (#"{"\u+041":1}"#, "hexadecimal"),
    (#"{"\x":1}"#, "unknown escape"),
    ("{\"\u{1}\":1}", "control character"),
    (#"{"a":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}"#, "a number expected"),
    (#"{"a":{"dtype":"F32","shape":[2,],"data_offsets":[0,8]}}"#, "a number expected"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},}"#, "expected"),
    ("", "a header begins with"),
  ])
  func headerIsRefused(header: String, message: String) throws {
    try expectRefusal(Self.file(header), message)
  }

  @Test func manyDimensionsAreRefused() throws {
    let shape = Array(repeating: "1", count: 65).joined(separator: ",")
    let header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[\(shape)],\"data_offsets\":[0,1]}}"
    try expectRefusal(Self.file(header, data: 1), "more than 64 numbers")
  }

  @Test func invalidUTF8IsRefused() throws {
    var bytes = Self.file(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#)
    bytes[10] = 0xff
    try expectRefusal(bytes, "not UTF-8")
  }

  @Test(arguments: [UInt64(100_000_001), 1 << 40, UInt64(Int.max), .max])
  func longHeaderIsRefusedUnread(length: UInt64) throws {
    let bytes = withUnsafeBytes(of: length.littleEndian, Array.init) + Array("{}".utf8)
    try expectRefusal(bytes, "above the format's limit")
  }

  @Test func everyTruncationIsRefused() throws {
    let scratch = try Scratch()
    let whole = try readBytes(golden("every_type.safetensors"))
    for length in 0..<whole.count {
      let path = try scratch.write(Array(whole[..<length]), as: "short.safetensors")
      #expect(throws: CheckpointError.self, "\(length) bytes") { _ = try SafetensorsFile(path) }
    }
    #expect(throws: CheckpointError.self) {
      _ = try SafetensorsFile(scratch.write(whole + [0], as: "long.safetensors"))
    }
  }

  @Test func mutatedFilesAreRefusedOrStillConsistent() throws {
    let scratch = try Scratch()
    let whole = try readBytes(golden("every_type.safetensors"))
    var mutations = Mutations(state: 5)
    var refused = 0
    for _ in 0..<4000 {
      let bytes = mutations.mutate(whole, limit: 1376)
      let path = try scratch.write(bytes, as: "mutated.safetensors")
      do throws(CheckpointError) {
        let file = try SafetensorsFile(path)
        // Accepted: then every byte of data must belong to exactly one tensor, and be readable.
        let header = 8 + bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        var total = 0
        for name in file.names {
          let record = try file.entry(name)
          #expect(try file.bytes(name).count == record.byteCount)
          #expect(try file.bytes(name).allSatisfy { $0 <= 255 })
          total += record.byteCount
        }
        #expect(header + total == bytes.count)
      } catch {
        refused += 1
        #expect(error.path == path && !error.message.isEmpty)
      }
    }
    #expect(refused > 3000, "\(refused)")
  }

  @Test func whatIsNotAFileIsRefused() throws {
    let scratch = try Scratch()
    let missing = try #require(throws: CheckpointError.self) { _ = try SafetensorsFile(scratch.file("none")) }
    #expect(missing.kind == .missing)
    #expect(throws: CheckpointError.self) { _ = try SafetensorsFile(scratch.path) }
    mkfifo(scratch.file("pipe"), 0o600)
    #expect(throws: CheckpointError.self) { _ = try SafetensorsFile(scratch.file("pipe")) }
  }
}
