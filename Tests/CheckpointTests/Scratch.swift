import Checkpoint
import Foundation
import Testing

/// A directory of one test, removed with it.
final class Scratch {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("hadal-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file into the directory and returns its path.
  func write(_ bytes: [UInt8], as name: String) throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }

  /// Every name below the directory, without what is inside files.
  var contents: [String] {
    (FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []).sorted()
  }
}

func readBytes(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }

/// A file that `Tests/Golden/make_safetensors.py` made.
func golden(_ name: String) -> String {
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden/\(name)").path
}

/// SplitMix64: the same mutations in every run.
struct Mutations: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  /// Replaces, inserts, removes or repeats a few bytes, or cuts the end off, within the first `limit` bytes.
  mutating func mutate(_ original: [UInt8], limit: Int) -> [UInt8] {
    var bytes = original
    for _ in 0..<Int.random(in: 1...3, using: &self) {
      guard !bytes.isEmpty else { break }
      let place = Int.random(in: 0..<min(limit, bytes.count), using: &self)
      switch Int.random(in: 0..<6, using: &self) {
      case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &self)
      case 1: bytes[place] = "0123456789-.e\"[]{},:".utf8.randomElement(using: &self)!
      case 2: bytes[place] = UInt8.random(in: 0...255, using: &self)
      case 3: bytes.insert(UInt8(ascii: "9"), at: place)
      case 4: bytes.remove(at: place)
      default: bytes.removeSubrange(place...)
      }
    }
    return bytes
  }
}

/// The elements of every tensor in the tests: as `content` in `make_safetensors.py`.
func content(_ record: TensorRecord) -> [UInt8] {
  (0..<record.byteCount).map { UInt8(truncatingIfNeeded: record.name.utf8.count + 7 * $0) }
}

/// Provides `content`, in pieces of at most `pieceBytes`.
func contentProvider(_ records: [TensorRecord], pieceBytes: Int = 1 << 30) -> TensorBytes {
  { (name, write) throws(CheckpointError) in
    let bytes = content(records.first { $0.name == name }!)
    let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
    defer { whole.deallocate() }
    whole.copyBytes(from: bytes)
    for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
      try write(UnsafeRawBufferPointer(rebasing: whole[start..<min(bytes.count, start + pieceBytes)]))
    }
  }
}

extension CheckpointStore {
  /// The newest checkpoint that is whole, found as a run does it; and why newer ones were passed over, the newest first.
  func openNewestValid() throws(CheckpointError) -> (
    checkpoint: StoredCheckpoint?, rejected: [CheckpointError]
  ) {
    var rejected: [CheckpointError] = []
    for step in try steps() {
      do throws(CheckpointError) {
        let checkpoint = try open(.step(step), hashing: .none)
        try checkpoint.load(into: [], hashing: .all)
        return (checkpoint, rejected)
      } catch { rejected.append(error) }
    }
    return (nil, rejected)
  }
}
