import Checkpoint
import Foundation
import Testing

@Suite struct ManifestTests {
  private let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private static let file = Manifest.fileName(rank: 3, of: 8)
  private static let hash = String(repeating: "0a", count: 32)

  private static func slice(_ offset: [Int], _ shape: [Int], _ key: String) -> Manifest.Slice {
    Manifest.Slice(box: Box(offset: offset, shape: shape), file: file, key: key)
  }

  private static let sample = Manifest(
    configuration: "a: 1\n\"quotes\" \\ tab\t nul\u{0} é 深 🐟", step: 7, tokens: 123_456_789_012,
    nextSample: 0,
    state: [
      "third": .number(1 / 3), "tiny": .number(.leastNonzeroMagnitude), "huge": .number(-1.797e308),
      "zero": .number(-0.0),
      "whole": .number(3), "integer": .integer(.min), "text": .string("line\nline"),
    ],
    files: [Manifest.File(name: file, digest: FileDigest(length: 1000, sha256: hash))],
    tensors: [
      Manifest.Tensor(
        TensorRecord(name: "w", type: .bfloat16, shape: [4, 6]),
        slices: [
          slice([0, 0], [4, 2], "w.0"), slice([0, 2], [1, 4], "w.1"), slice([1, 2], [3, 4], "w.2"),
        ]),
      Manifest.Tensor(TensorRecord(name: "s", type: .float32, shape: []), slices: [slice([], [], "s")]),
      Manifest.Tensor(
        TensorRecord(name: "none", type: .int8, shape: [0, 3]), slices: [slice([0, 0], [0, 3], "n")]),
    ])

  private func read(_ bytes: [UInt8]) throws -> Manifest {
    try Manifest(contentsOf: scratch.write(bytes, as: "manifest.json"))
  }

  /// The lines that the seal vouches for.
  private static func body(_ manifest: Manifest = sample) throws -> String {
    let lines = String(decoding: try manifest.text(), as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false)
    return lines.dropLast(3).joined(separator: "\n") + "\n"
  }

  @Test func readsWhatItWrites() throws {
    let found = try read(Self.sample.text())
    #expect(found == Self.sample)
    guard case .number(let zero) = found.state["zero"] else {
      return #expect(Bool(false), "zero is no number")
    }
    #expect(zero.sign == .minus)
  }

  /// Foundation's reader is the oracle for the text.
  @Test func isJSON() throws {
    let object = try JSONSerialization.jsonObject(with: Data(Self.sample.text()))
    let json = try #require(object as? [String: Any])
    #expect(json["format"] as? String == "hadal-checkpoint" && json["version"] as? Int == 1)
    #expect(json["configuration"] as? String == Self.sample.configuration)
    let state = try #require(json["state"] as? [String: Any])
    #expect(state["third"] as? Double == 1 / 3 && state["integer"] as? Int == .min)
    let tensors = try #require(json["tensors"] as? [[String: Any]])
    let slices = try #require(tensors[0]["slices"] as? [[String: Any]])
    #expect(slices[2]["offset"] as? [Int] == [1, 2] && slices[2]["key"] as? String == "w.2")
  }

  @Test func fileNames() {
    #expect(Manifest.fileName(rank: 0, of: 8) == "rank-00000-of-00008.safetensors")
    #expect(Manifest.fileName(rank: 123_456, of: 200_000) == "rank-123456-of-200000.safetensors")
  }

  @Test func everyFlippedBitAndTruncationIsDamage() throws {
    let text = try Self.sample.text()
    for place in text.indices {
      var bytes = text
      bytes[place] ^= 1 << UInt8(place % 8)
      let error = try #require(throws: CheckpointError.self) { _ = try read(bytes) }
      #expect(error.kind == .damaged, "byte \(place)")
      #expect(throws: CheckpointError.self) { _ = try read(Array(text[..<place])) }
    }
    #expect(throws: CheckpointError.self) { _ = try read(text + [0x0a]) }
  }

  @Test(arguments: [
    ("hadal-checkpoint", "other-checkpoint", "format"), ("\"version\": 1", "\"version\": -1", "negative"),
    ("\"step\": 7", "\"step\": 7.0", "not an integer"), ("\"step\": 7", "\"step\": -7", "negative"),
    ("\"step\": 7", "\"step\": 99999999999999999999", "64 bits"), ("\"step\": 7,", "", "\"step\" should be"),
    ("\"tokens\"", "\"tokenz\"", "\"tokens\" should be"),
    ("\"step\": 7", "\"step\": 7, \"step\": 7", "twice"),
    ("5e-324", "1e999", "not finite"), ("5e-324", "null", "number expected"),
    ("rank-00003-of-00008.safetensors\", \"length\"", "../x.safetensors\", \"length\"", "not the name"),
    ("rank-00003-of-00008.safetensors\", \"length\"", "/x.safetensors\", \"length\"", "not the name"),
    ("rank-00003-of-00008.safetensors\", \"length\"", "x.safetensors\", \"length\"", "not one of the files"),
    ("\"length\": 1000", "\"length\": -1", "negative"),
    ("\"sha256\": \"0a", "\"sha256\": \"0A", "64 hexadecimal"),
    ("\"sha256\": \"0a", "\"sha256\": \"", "64 hexadecimal"),
    ("\"length\": 1000, ", "", "needs name, length"),
    ("\"BF16\"", "\"BF17\"", "not known"), ("[4, 6]", "[4, 7]", "covered 0 times"),
    ("[4, 6]", "[4, 5]", "not inside"), ("[4, 6]", "[4, -6]", "negative"),
    ("[4, 6]", "[4611686018427387904, 6]", "overflows"), ("[4, 6]", "[24]", "not inside"),
    ("\"offset\": [1, 2]", "\"offset\": [0, 2]", "covered"),
    ("\"offset\": [1, 2]", "\"offset\": [1]", "a slice at"),
    ("\"offset\": [1, 2]", "\"offset\": [9223372036854775807, 2]", "not inside"),
    ("\"offset\": [1, 2], ", "", "a slice needs"), ("\"key\": \"w.2\"", "\"key\": \"w.1\"", "used twice"),
    ("\"shape\": [1, 4]", "\"shape\": [0, 4]", "is empty"),
    ("\"name\": \"s\"", "\"name\": \"w\"", "listed twice"),
    ("\"slices\": [", "\"slice\": [", "has no"),
    ("\"shape\": [0, 3], \"file\"", "\"shape\": [0, 2], \"file\"", "empty"),
    ("\"key\": \"s\"}", "\"key\": \"s\", \"x\": 1}", "a slice has no"),
    ("\"state\": {", "\"state\": [", "expected"),
  ])
  func wrongMembersAreRefused(original: String, replacement: String, message: String) throws {
    let body = try Self.body()
    #expect(try read(Manifest.sealed(Array(body.utf8))) == Self.sample)
    let range = try #require(body.range(of: original), "\(original)")
    let changed = body.replacingCharacters(in: range, with: replacement)
    let error = try #require(throws: CheckpointError.self) {
      _ = try read(Manifest.sealed(Array(changed.utf8)))
    }
    #expect(error.kind == .malformed)
    #expect(error.path == scratch.file("manifest.json"))
    #expect(error.message.contains(message), "\(error.message) does not contain \(message)")
  }

  @Test func anotherVersionIsSaidToBeOne() throws {
    let changed = try Self.body().replacingOccurrences(
      of: "\"version\": 1,", with: "\"version\": 2,\n  \"new\": {},")
    let error = try #require(throws: CheckpointError.self) {
      _ = try read(Manifest.sealed(Array(changed.utf8)))
    }
    #expect(error.kind == .unsupported && error.message.contains("version 2"))
  }

  /// The seal is made to fit again, so that the reader behind it is tested.
  @Test func mutatedManifestsAreRefusedOrConsistent() throws {
    let body = Array(try Self.body().utf8)
    var mutations = Mutations(state: 11)
    var refused = 0
    for _ in 0..<4000 {
      let bytes = Manifest.sealed(mutations.mutate(body, limit: body.count))
      do {
        let manifest = try read(bytes)
        // Accepted: then it is one that could have been written.
        #expect(try read(manifest.text()) == manifest)
      } catch let error as CheckpointError {
        refused += 1
        #expect(error.path == scratch.file("manifest.json") && !error.message.isEmpty)
      }
    }
    #expect(refused > 2500, "\(refused)")
  }
}
