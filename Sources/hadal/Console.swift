internal import Foundation

/// What commands read and write beside their files.
enum Console {
  /// A remark for a person; results go to stdout.
  static func note(_ text: String) { FileHandle.standardError.write(Data("hadal: \(text)\n".utf8)) }

  /// A result, at once: output that is piped would else wait in a buffer.
  static func write(_ bytes: some Sequence<UInt8>) { FileHandle.standardOutput.write(Data(bytes)) }
}
