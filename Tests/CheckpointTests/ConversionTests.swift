import Checkpoint
import Foundation
import Testing

/// The same checkpoint in another number of files, and what differs between two.
struct ConversionTests {
  private let scratch: Scratch
  /// The last one is of more than one block.
  private static let tensors = [
    TensorRecord(name: "b", type: .bfloat16, shape: [13]),
    TensorRecord(name: "none", type: .float32, shape: [0, 2]),
    TensorRecord(name: "s", type: .float64, shape: []),
    TensorRecord(name: "w", type: .float32, shape: [1500, 1000]),
  ]

  init() throws { scratch = try Scratch() }

  private func store(_ name: String) -> CheckpointStore {
    CheckpointStore(directory: scratch.file(name), fileSystem: FaultyFileSystem())
  }

  /// Elements of 1 + index / 1000, and what `change` makes of them.
  private func save(
    _ name: String, _ change: @escaping (String, inout [Float]) -> Void = { _, _ in }
  ) throws -> StoredCheckpoint {
    let contents = CheckpointContents(
      configuration: "a: 1", step: 3, tokens: 4, nextSample: 5, state: ["k": .string("v")],
      tensors: Self.tensors
    ) { (name, write) throws(CheckpointError) in
      let record = Self.tensors.first { $0.name == name }!
      var values = (0..<record.elementCount).map { 1 + Float($0) / 1000 }
      change(name, &values)
      let bytes =
        switch record.type {
        case .float32: values.withUnsafeBytes(Array.init)
        case .bfloat16: values.flatMap { withUnsafeBytes(of: UInt16($0.bitPattern >> 16), Array.init) }
        default: values.flatMap { withUnsafeBytes(of: Double($0), Array.init) }
        }
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
      defer { buffer.deallocate() }
      buffer.copyBytes(from: bytes)
      try write(UnsafeRawBufferPointer(buffer))
    }
    let store = self.store(name)
    _ = try store.save(contents)
    return try store.open()
  }

  @Test(arguments: [1, 2, 3, 7, 40])
  func anyNumberOfFiles(files: Int) throws {
    let original = try save("original")
    let store = self.store("copy")
    let saved = try store.save(copyOf: original, files: files)
    let copy = try store.open()
    let names = (0..<files).map { Manifest.fileName(rank: $0, of: files) }
    #expect(copy.manifest.files.map(\.name) == names)
    #expect(copy.manifest.state == original.manifest.state && copy.manifest.configuration == "a: 1")
    let places: [Int] = [copy.manifest.step, copy.manifest.tokens, copy.manifest.nextSample]
    #expect(places == [3, 4, 5])
    #expect(copy.names == original.names)
    for name in original.names { #expect(try copy.difference(from: original, name) == nil, "\(name)") }
    // Of like size, but for a row and the headers.
    let lengths = copy.manifest.files.map(\.digest.length)
    #expect(lengths.max()! - lengths.min()! < 8000, "\(lengths)")
    // And back: the same file as at first.
    let back = self.store("back")
    let path = try back.save(copyOf: copy, files: 1).path
    let file = Manifest.fileName(rank: 0, of: 1)
    #expect(try readBytes("\(path)/\(file)") == readBytes("\(original.path)/\(file)"))
    #expect(saved.path == "\(store.directory)/step-3")
  }

  /// Against sums in `Double` of the values themselves.
  @Test func differencesAreMeasured() throws {
    let original = try save("original")
    let changed = try save("changed") { name, values in
      if name == "w" { (values[7], values[1_499_999]) = (-2, 0.5) }
      if name == "s" { values[0] = 3 }
    }
    #expect(try changed.difference(from: original, "b") == nil)
    #expect(try changed.difference(from: original, "none") == nil)
    let scalar = try #require(try changed.difference(from: original, "s"))
    #expect(scalar.elements == 1 && scalar.largest == 2 && scalar.relative == 2)
    let matrix = try #require(try changed.difference(from: original, "w"))
    let values = (0..<1_500_000).map { Double(1 + Float($0) / 1000) }
    let size = values.reduce(0) { $0 + $1 * $1 }
    let (first, last) = (values[7] + 2, values[1_499_999] - 0.5)
    #expect(matrix.elements == 2 && matrix.largest == last)
    let relative = ((first * first + last * last) / size).squareRoot()
    #expect(abs(matrix.relative! - relative) < 1e-12 * relative)
    let spoilt = try save("spoilt") { name, values in if name == "b" { values[2] = .nan } }
    #expect(try #require(try spoilt.difference(from: original, "b")).largest?.isNaN == true)
  }

  @Test func everythingDamagedIsNamed() throws {
    let store = self.store("copy")
    let path = try store.save(copyOf: save("original"), files: 4).path
    #expect(StoredCheckpoint.faults(in: path).isEmpty)
    func file(_ rank: Int) -> String { "\(path)/\(Manifest.fileName(rank: rank, of: 4))" }
    truncate(file(0), 1000)
    unlink(file(2))
    var bytes = try readBytes(file(3))
    bytes[bytes.count / 2] ^= 1
    try Data(bytes).write(to: URL(fileURLWithPath: file(3)))
    let faults = StoredCheckpoint.faults(in: path)
    #expect(faults.map(\.path) == [file(0), file(2), file(3)])
    #expect(faults.map(\.kind) == [.damaged, .missing, .damaged])
    unlink("\(path)/manifest.json")
    #expect(StoredCheckpoint.faults(in: path).map(\.kind) == [.missing])
  }
}
