import Checkpoint
import Foundation
import Glibc
import Tensors
import Testing

/// Pieces of tensors that are filled while the files are hashed.
struct CheckpointLoadingTests {
  private let scratch: Scratch
  private let device: Device
  /// The last one takes more than two blocks of a file.
  private static let tensors = [
    TensorRecord(name: "b", type: .bfloat16, shape: [13]),
    TensorRecord(name: "c", type: .bfloat16, shape: [3, 5, 7]),
    TensorRecord(name: "none", type: .float32, shape: [0, 2]),
    TensorRecord(name: "w", type: .float32, shape: [1100, 2003]),
  ]

  init() throws {
    scratch = try Scratch()
    device = try Device(threads: 1)
  }

  private static func value(_ name: String, _ index: Int) -> Float {
    name == "w" ? 1 + Float(index) / 1024 : Float(index % 200)
  }

  /// The tensors in that many files.
  private func checkpoint(files: Int) throws -> StoredCheckpoint {
    let whole = CheckpointStore(directory: scratch.file("whole"), fileSystem: FaultyFileSystem())
    let contents = CheckpointContents(
      configuration: "a: 1", step: 3, tokens: 4, nextSample: 5, state: [:], tensors: Self.tensors
    ) { (name, write) throws(CheckpointError) in
      let record = Self.tensors.first { $0.name == name }!
      let values = (0..<record.elementCount).map { Self.value(name, $0) }
      let bytes: [UInt8] =
        record.type == .float32
        ? values.withUnsafeBytes(Array.init)
        : values.flatMap { withUnsafeBytes(of: UInt16($0.bitPattern >> 16), Array.init) }
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
      defer { buffer.deallocate() }
      buffer.copyBytes(from: bytes)
      try write(UnsafeRawBufferPointer(buffer))
    }
    _ = try whole.save(contents)
    let store = CheckpointStore(directory: scratch.file("divided"), fileSystem: FaultyFileSystem())
    _ = try store.save(copyOf: whole.open(), files: files)
    return try store.open(hashing: .none)
  }

  private func piece(_ name: String, _ range: Range<Int>, _ dtype: DType) -> TensorPiece {
    let tensor = Tensor([range.count], dtype, on: device)
    let record = Self.tensors.first { $0.name == name }!
    return TensorPiece(name: name, shape: record.shape, range: range, tensor: tensor)
  }

  private func expect(_ piece: TensorPiece, sourceLocation: SourceLocation = #_sourceLocation) {
    let found: [Float] =
      piece.tensor.dtype == .float32
      ? Array(piece.tensor.floats)
      : piece.tensor.bytes.withMemoryRebound(to: UInt16.self) { halves in
        halves.map { Float(bitPattern: UInt32($0) << 16) }
      }
    // bfloat16 keeps 8 bits of what has more.
    let isRounded = piece.name == "w" && piece.tensor.dtype == .bfloat16
    for (place, index) in piece.range.enumerated() {
      let expected = Self.value(piece.name, index)
      guard abs(found[place] - expected) <= (isRounded ? expected / 256 : 0) else {
        Issue.record(
          "\(piece.name) \(piece.range): \(found[place]) at \(index), expected \(expected)",
          sourceLocation: sourceLocation)
        return
      }
    }
  }

  /// Whole tensors and parts that begin and end anywhere, wherever files and blocks are cut.
  @Test(arguments: [1, 2, 5])
  func piecesOfAnyLength(files: Int) throws {
    let checkpoint = try checkpoint(files: files)
    let count = 1100 * 2003
    var random = Mutations(state: 7)
    var pieces = [
      piece("w", 0..<count, .float32), piece("b", 0..<13, .bfloat16), piece("none", 0..<0, .float32),
      piece("c", 17..<90, .bfloat16), piece("c", 34..<35, .bfloat16),
      // Converted.
      piece("b", 3..<12, .float32), piece("w", 1_048_570..<1_048_600, .bfloat16),
    ]
    for _ in 0..<20 {
      let begin = Int.random(in: 0..<count, using: &random)
      pieces.append(piece("w", begin..<Int.random(in: begin...count, using: &random), .float32))
    }
    for hashing in [StoredCheckpoint.Hashing.all, .none, .share(rank: 1, of: 2)] {
      for piece in pieces { piece.tensor.fillWithZeros() }
      try checkpoint.load(into: pieces, hashing: hashing)
      for piece in pieces { expect(piece) }
    }
    // Alone, so that only a part of the files is read.
    for piece in pieces {
      piece.tensor.fillWithZeros()
      try checkpoint.load(into: [piece], hashing: .none)
      expect(piece)
    }
  }

  /// What another rank hashes, another rank reports.
  @Test func aFlippedBitIsFoundByTheRankThatHashesTheFile() throws {
    let checkpoint = try checkpoint(files: 2)
    let path = "\(checkpoint.path)/\(Manifest.fileName(rank: 1, of: 2))"
    var bytes = try readBytes(path)
    bytes[bytes.count - 5] ^= 1
    try Data(bytes).write(to: URL(filePath: path))
    let pieces = [piece("b", 0..<13, .bfloat16)]
    try checkpoint.load(into: pieces, hashing: .share(rank: 0, of: 2))
    expect(pieces[0])
    for hashing in [StoredCheckpoint.Hashing.all, .share(rank: 1, of: 2)] {
      let error = #expect(throws: CheckpointError.self) {
        try checkpoint.load(into: pieces, hashing: hashing)
      }
      #expect(error?.kind == .damaged && error?.path == path)
      #expect(error?.message.contains("SHA-256") == true)
    }
  }

  /// A file that shrinks after it was opened, which through a mapping would end the process.
  @Test func aFileThatShrinksIsAnError() throws {
    let checkpoint = try checkpoint(files: 1)
    let path = "\(checkpoint.path)/\(Manifest.fileName(rank: 0, of: 1))"
    let pieces = [piece("w", 0..<1100 * 2003, .float32)]
    // Also within the first element of a block.
    for length in [6_000_000, (4 << 20) + 1, 4 << 20, 0] {
      #expect(truncate(path, length) == 0)
      for hashing in [StoredCheckpoint.Hashing.all, .none] {
        let error = #expect(throws: CheckpointError.self) {
          try checkpoint.load(into: pieces, hashing: hashing)
        }
        #expect(error?.kind == .damaged && error?.path == path)
        #expect(error?.message.contains("ends at byte \(length)") == true, "\(error as Any)")
      }
    }
  }

  /// Nothing is written where one of the pieces cannot be filled.
  @Test func whatCannotBeReadIsRefusedFirst() throws {
    let checkpoint = try checkpoint(files: 1)
    let good = piece("b", 0..<13, .bfloat16)
    good.tensor.fillWithZeros()
    let wrong = TensorPiece(
      name: "w", shape: [1100, 2004], range: 0..<2, tensor: Tensor([2], .float32, on: device))
    let error = #expect(throws: CheckpointError.self) {
      try checkpoint.load(into: [good, wrong], hashing: .all)
    }
    #expect(
      error?.message.contains("[1100, 2003]") == true && error?.message.contains("[1100, 2004]") == true)
    #expect(good.tensor.bytes.allSatisfy { $0 == 0 })
  }
}
