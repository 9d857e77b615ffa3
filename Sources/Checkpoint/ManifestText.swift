internal import Crypto

extension Manifest {
  /// The text of `manifest.json`: one line for each file and tensor, and last a seal.
  ///
  /// The seal is the SHA-256 of all bytes before its line (`head -n -2 manifest.json | sha256sum`), so that
  /// no damage to the manifest itself goes unseen.
  /// - Throws: `CheckpointError` if a value of `state` is not finite.
  package func text() throws(CheckpointError) -> [UInt8] { Self.sealed(Array(try body().utf8)) }

  /// Appends the seal to the lines before it.
  package static func sealed(_ body: [UInt8]) -> [UInt8] {
    body + Array("\(ManifestSeal.head)\(hexadecimal(SHA256.hash(data: body)))\(ManifestSeal.tail)".utf8)
  }

  private func body() throws(CheckpointError) -> String {
    var states: [String] = []
    for (key, value) in state.sorted(by: { $0.key < $1.key }) {
      states.append("    \(jsonString(key)): \(try Self.json(value, key))")
    }
    return """
      {
        "format": \(jsonString(Self.format)),
        "version": \(Self.version),
        "step": \(step),
        "tokens": \(tokens),
        "next_sample": \(nextSample),
        "configuration": \(jsonString(configuration)),
        "state": {\(Self.lines(states))},
        "files": [\(Self.lines(files.map { "    \(Self.json($0))" }))],
        "tensors": [\(Self.lines(tensors.map { "    \(Self.json($0))" }))],

      """
  }

  private static func lines(_ items: [String]) -> String {
    items.isEmpty ? "" : "\n\(items.joined(separator: ",\n"))\n  "
  }

  private static func json(_ value: StateValue, _ key: String) throws(CheckpointError) -> String {
    switch value {
    case .string(let text): return jsonString(text)
    case .integer(let number): return String(number)
    case .number(let number):
      guard number.isFinite else {
        throw CheckpointError(
          .unsupported, path: fileName, "the state \(quoted(key)) is \(number), which JSON cannot hold")
      }
      return String(number)  // the shortest text that reads back as the same bits
    }
  }

  private static func json(_ file: File) -> String {
    "{\"name\": \(jsonString(file.name)), \"length\": \(file.digest.length),"
      + " \"sha256\": \"\(file.digest.sha256)\"}"
  }

  private static func json(_ tensor: Tensor) -> String {
    let slices = tensor.slices.map { slice in
      "{\"offset\": \(slice.box.offset), \"shape\": \(slice.box.shape), \"file\": \(jsonString(slice.file)),"
        + " \"key\": \(jsonString(slice.key))}"
    }
    return "{\"name\": \(jsonString(tensor.record.name)), \"dtype\": \"\(tensor.record.type.rawValue)\","
      + " \"shape\": \(tensor.record.shape), \"slices\": [\(slices.joined(separator: ", "))]}"
  }
}

/// The last lines of a manifest.
enum ManifestSeal {
  static let head = "  \"seal\": \""
  static let tail = "\"\n}\n"
  static let digits = 64

  /// Requires that a manifest's last lines vouch for the lines before.
  ///
  /// - Throws: `CheckpointError` of kind `.damaged` if they do not.
  static func check(_ text: UnsafeRawBufferPointer, path: String) throws(CheckpointError) {
    let length = head.utf8.count + digits + tail.utf8.count
    guard text.count > length else {
      throw CheckpointError(.damaged, path: path, "\(text.count) bytes cannot be a manifest: truncated?")
    }
    var hash = SHA256()
    hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: text.dropLast(length)))
    guard text.suffix(length).elementsEqual("\(head)\(hexadecimal(hash.finalize()))\(tail)".utf8) else {
      throw CheckpointError(
        .damaged, path: path, "the seal in its last lines does not fit the lines before: changed or truncated"
      )
    }
  }
}
