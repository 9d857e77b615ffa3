/// A safetensors file, mapped into memory and checked.
package final class SafetensorsFile {
  private let file: MappedFile
  private let entries: [String: SafetensorsHeader.Entry]

  package var path: String { file.path }
  /// All tensors, in the order of the header.
  package let names: [String]
  /// The header's `__metadata__`.
  package let metadata: [String: String]

  /// - Throws: `CheckpointError` if the file cannot be read or any part of its header is not valid.
  package init(_ path: String) throws(CheckpointError) {
    file = try MappedFile(path)
    let header = try SafetensorsHeader(file.bytes, path: path)
    names = header.entries.map(\.record.name)
    metadata = header.metadata
    entries = Dictionary(uniqueKeysWithValues: header.entries.map { ($0.record.name, $0) })
  }

  package func contains(_ name: String) -> Bool { entries[name] != nil }

  /// A tensor's type and shape.
  ///
  /// - Throws: `CheckpointError` of kind `.missing` if the file does not hold it.
  package func entry(_ name: String) throws(CheckpointError) -> TensorRecord { try found(name).record }

  /// A tensor's elements, dense and row-major; valid while this object lives, and read from the disk when
  /// touched.
  ///
  /// Files of other software may place them at addresses that are not a multiple of the element's width.
  /// - Throws: `CheckpointError` of kind `.missing` if the file does not hold it.
  package func bytes(_ name: String) throws(CheckpointError) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: file.bytes[try found(name).range])
  }

  /// Where a tensor's elements are, from the start of the file.
  ///
  /// - Throws: `CheckpointError` of kind `.missing` if the file does not hold it.
  func place(_ name: String) throws(CheckpointError) -> Range<Int> { try found(name).range }

  private func found(_ name: String) throws(CheckpointError) -> SafetensorsHeader.Entry {
    guard let entry = entries[name] else {
      throw CheckpointError(
        .missing, path: path, "holds no tensor \(quoted(name)) among its \(names.count): \(summary(names))")
    }
    return entry
  }
}
