/// Where each tensor of a safetensors file will stand, and the header that says so.
///
/// Wide elements come first, otherwise the given order is kept: then every tensor begins at a multiple of
/// its element's width. The text is what the format's own implementation writes for the same order.
struct SafetensorsLayout {
  let records: [TensorRecord]
  /// The 8 bytes of length and the text, padded with spaces to a multiple of 8.
  let header: [UInt8]
  let fileLength: Int

  init(_ records: [TensorRecord], metadata: [String: String]) throws(CheckpointError) {
    let names = Set(records.map(\.name))
    precondition(names.count == records.count, "\(records.count) tensors, but \(names.count) names")
    precondition(!names.contains("__metadata__"), "__metadata__ cannot be the name of a tensor")
    self.records = records.enumerated()
      .sorted { ($1.element.type.width, $0.offset) < ($0.element.type.width, $1.offset) }.map(\.element)

    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map { "\(jsonString($0.key)):\(jsonString($0.value))" }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var end = 0
    for record in self.records {
      let shape = record.shape.map(String.init).joined(separator: ",")
      let offsets = "\(end),\(end + record.byteCount)"
      members.append(
        "\(jsonString(record.name)):{\"dtype\":\"\(record.type.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(offsets)]}")
      end += record.byteCount
    }
    var text = Array("{\(members.joined(separator: ","))}".utf8)
    while !text.count.isMultiple(of: 8) { text.append(UInt8(ascii: " ")) }
    guard text.count <= SafetensorsHeader.longest else {
      throw CheckpointError(
        .unsupported, path: "safetensors",
        "the header of \(records.count) tensors takes \(text.count) bytes, above the limit of"
          + " \(SafetensorsHeader.longest) of a safetensors file: use more files")
    }
    header = withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text
    fileLength = header.count + end
  }
}
