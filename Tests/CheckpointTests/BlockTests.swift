import Foundation
import Glibc
import Testing

@testable import Checkpoint

/// Files of several blocks: what is on the disk, what the digest says, and failures in the middle.
@Suite struct BlockTests {
  private let scratch: Scratch
  /// Two whole blocks and an odd rest; two blocks to the byte; one byte more than a block.
  static let lengths = [
    2 * BlockRing.blockBytes + 12_345, 2 * BlockRing.blockBytes, BlockRing.blockBytes + 1,
    BlockRing.blockBytes, 7, 0,
  ]

  init() throws { scratch = try Scratch() }

  /// In pieces that fit no block.
  private func write(
    _ bytes: [UInt8], to name: String, on fileSystem: any FileSystem
  ) throws(CheckpointError) -> FileDigest {
    try fileSystem.createDurably(scratch.file(name)) { (file) throws(CheckpointError) in
      let output = HashingOutput(file, on: fileSystem)
      for begin in stride(from: 0, to: bytes.count, by: 1_000_003) {
        try output.append(Array(bytes[begin..<min(begin + 1_000_003, bytes.count)]))
      }
      return try output.finish()
    }
  }

  private func content(_ length: Int) -> [UInt8] {
    (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
  }

  @Test(arguments: lengths)
  func filesAreWhatWasGiven(length: Int) throws {
    let bytes = content(length)
    for (name, fileSystem) in [
      ("direct", PosixFileSystem()), ("cached", FaultyFileSystem()),
      ("short", FaultyFileSystem(.shortWrites(999_999))),
    ] as [(String, any FileSystem)] {
      let digest = try write(bytes, to: name, on: fileSystem)
      #expect(try Data(contentsOf: URL(filePath: scratch.file(name))) == Data(bytes), "\(name)")
      #expect(digest.length == length)
      #expect(try digest == FileDigest(ofFileAt: scratch.file(name)), "\(name)")
    }
  }

  /// A disk that fails in the middle is told at the latest at the end, and what follows is not written.
  @Test(arguments: 1...3)
  func aFailureIsTold(operation: Int) throws {
    let fileSystem = FaultyFileSystem(.failing(at: operation, EIO))
    let error = #expect(throws: CheckpointError.self) {
      _ = try write(content(Self.lengths[0]), to: "bad", on: fileSystem)
    }
    #expect(error?.kind == .system(EIO))
    #expect(fileSystem.operations.filter { $0.hasPrefix("write") }.count == operation)
  }

  /// What cannot go past the page cache goes through it.
  @Test func unalignedBytesAreWrittenAllTheSame() throws {
    let fileSystem = PosixFileSystem()
    let bytes = content(10_001)
    let file = try fileSystem.create(scratch.file("odd"))
    fileSystem.expectBlocks(in: file)
    try bytes.withUnsafeBytes { bytes throws in
      try fileSystem.writeAll(UnsafeRawBufferPointer(rebasing: bytes[..<1]), to: file)
      fileSystem.expectBlocks(in: file)
      try fileSystem.writeAll(UnsafeRawBufferPointer(rebasing: bytes[1...]), to: file)
    }
    try fileSystem.close(file)
    #expect(try Data(contentsOf: URL(filePath: scratch.file("odd"))) == Data(bytes))
  }
}
