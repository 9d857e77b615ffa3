/// Gives the elements of the tensor `name` to `write`, in order, in one or more pieces.
package typealias TensorBytes = (
  _ name: String, _ write: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void
) throws(CheckpointError) -> Void

/// Writes a safetensors file, one tensor after the other, hashing what it writes.
package struct SafetensorsWriter {
  private let layout: SafetensorsLayout

  /// Plans a file of the tensors `records`.
  ///
  /// - Throws: `CheckpointError` if the header would exceed the format's limit of 100 MB.
  package init(_ records: [TensorRecord], metadata: [String: String] = [:]) throws(CheckpointError) {
    layout = try SafetensorsLayout(records, metadata: metadata)
  }

  init(_ layout: SafetensorsLayout) { self.layout = layout }

  /// Bytes of the whole file.
  package var fileLength: Int { layout.fileLength }

  /// Creates the file, which must not exist, and returns when it is on the disk. A failed file is left
  /// for the caller.
  ///
  /// - Parameter bytes: Called once for each tensor; must give exactly the bytes that its record says.
  /// - Throws: `CheckpointError` of kind `.system` if the file cannot be written, and what `bytes` throws.
  @discardableResult
  package func write(
    to path: String, on fileSystem: any FileSystem = PosixFileSystem(), bytes: TensorBytes
  ) throws(CheckpointError) -> FileDigest {
    try fileSystem.createDurably(path) { (file) throws(CheckpointError) in
      let output = HashingOutput(file, on: fileSystem)
      try output.append(layout.header)
      for record in layout.records {
        let end = output.length + record.byteCount
        try bytes(record.name) { (piece) throws(CheckpointError) in
          precondition(
            output.length + piece.count <= end,
            "\(record.name): more than its \(record.byteCount) bytes given")
          try output.append(piece)
        }
        precondition(
          output.length == end,
          "\(record.name): \(end - output.length) of \(record.byteCount) bytes not given")
      }
      return try output.finish()
    }
  }
}
