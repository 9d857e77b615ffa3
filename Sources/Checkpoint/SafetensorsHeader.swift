/// What the header of a safetensors file says, checked completely before anything is believed.
///
/// Layout of a file: the header's length N (8 bytes, little-endian), N bytes of JSON, then the elements
/// of all tensors, without gaps. Source: the format's description at
/// https://github.com/huggingface/safetensors.
struct SafetensorsHeader {
  /// As the format's own implementation: a longer header is an attack or an accident.
  static let longest = 100_000_000
  static let lengthBytes = 8
  private static let mostDimensions = 64

  struct Entry {
    let record: TensorRecord
    /// Where the elements are, from the start of the file.
    let range: Range<Int>
  }

  /// In the order of the header.
  private(set) var entries: [Entry] = []
  private(set) var metadata: [String: String] = [:]
  private let path: String
  private let dataStart: Int
  private let fileLength: Int

  /// - Parameter file: All bytes of the file at `path`.
  /// - Throws: `CheckpointError` of kind `.malformed` that names the byte or the tensor that is wrong.
  init(_ file: UnsafeRawBufferPointer, path: String) throws(CheckpointError) {
    func fault(_ message: String) -> CheckpointError { CheckpointError(.malformed, path: path, message) }
    guard file.count >= Self.lengthBytes else {
      throw fault("\(file.count) bytes cannot be a safetensors file: the header's length alone takes 8")
    }
    let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(Self.longest) else {
      throw fault(
        "the header's length (bytes 0 to 7) is \(length), above the format's limit of \(Self.longest)")
    }
    dataStart = Self.lengthBytes + Int(length)
    guard dataStart <= file.count else {
      throw fault(
        "the header should end at byte \(dataStart), but the file ends at \(file.count): truncated?")
    }
    (self.path, fileLength) = (path, file.count)
    let text = UnsafeRawBufferPointer(rebasing: file[Self.lengthBytes..<dataStart])
    guard text.first == UInt8(ascii: "{") else { throw fault("byte 8: a header begins with \"{\"") }
    var reader = JSONReader(text, path: path, base: Self.lengthBytes)
    try reader.object { (reader, key) throws(CheckpointError) in
      if key == "__metadata__" {
        try reader.object { (reader, key) throws(CheckpointError) in metadata[key] = try reader.string() }
      } else {
        entries.append(try entry(key, &reader))
      }
    }
    try reader.end()
    try checkCoverage()
  }

  /// Reads one tensor's `{"dtype": …, "shape": […], "data_offsets": [begin, end]}`.
  private func entry(_ name: String, _ reader: inout JSONReader) throws(CheckpointError) -> Entry {
    var type: ScalarType?
    var shape: [Int]?
    var offsets: [Int]?
    try reader.object { (reader, key) throws(CheckpointError) in
      switch key {
      case "dtype":
        let text = try reader.string()
        type = ScalarType(rawValue: text)
        if type == nil { throw reader.fault("\(quoted(name)): the dtype \(quoted(text)) is not known") }
      case "shape": shape = try reader.naturals(limit: Self.mostDimensions)
      case "data_offsets": offsets = try reader.naturals(limit: 2)
      default: throw reader.fault("\(quoted(name)): the key \(quoted(key)) is not known")
      }
    }
    guard let type, let shape, let offsets else {
      throw reader.fault("\(quoted(name)) needs \"dtype\", \"shape\" and \"data_offsets\"")
    }
    guard let byteCount = TensorRecord.byteCount(type, shape) else {
      throw reader.fault("\(quoted(name)): the shape \(shape) overflows")
    }
    let available = fileLength - dataStart
    guard offsets.count == 2, offsets[0] <= offsets[1], offsets[1] <= available else {
      throw reader.fault("\(quoted(name)): \(offsets) is not a range within the \(available) bytes of data")
    }
    guard offsets[1] - offsets[0] == byteCount else {
      throw reader.fault(
        "\(quoted(name)): \(type.rawValue) \(shape) takes \(byteCount) bytes, \(offsets) are"
          + " \(offsets[1] - offsets[0])")
    }
    return Entry(
      record: TensorRecord(name: name, type: type, shape: shape),
      range: dataStart + offsets[0]..<dataStart + offsets[1])
  }

  /// Every byte of data belongs to exactly one tensor.
  private func checkCoverage() throws(CheckpointError) {
    var end = dataStart
    for entry in entries.sorted(by: {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }) {
      guard entry.range.lowerBound == end else {
        let fault = entry.range.lowerBound < end ? "overlaps the one before it" : "leaves a hole before it"
        throw CheckpointError(
          .malformed, path: path,
          "the data of \(quoted(entry.record.name)) begins at byte \(entry.range.lowerBound),"
            + " but \(end) is next: it \(fault)")
      }
      end = entry.range.upperBound
    }
    guard end == fileLength else {
      throw CheckpointError(
        .malformed, path: path, "the tensors end at byte \(end), but the file is \(fileLength) bytes long")
    }
  }
}
