/// The printable character that stands for each byte in a byte-level vocabulary.
///
/// The bytes 0x21…0x7E, 0xA1…0xAC and 0xAE…0xFF stand for the scalar of the same number; the others, in
/// ascending order, for U+0100, U+0101, …. Source: GPT-2's encoder, which every byte-level `tokenizer.json` follows.
enum ByteAlphabet {
  /// The scalar of each of the 256 bytes.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (UInt8.min...UInt8.max).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(next)!
      }
    }
  }()

  private static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
    uniqueKeysWithValues: zip(scalars, UInt8.min...UInt8.max))

  /// The bytes in the order of their scalars: the order in which vocabularies list them.
  static let bytesByScalar: [UInt8] = bytes.sorted { $0.key < $1.key }.map(\.value)

  /// The bytes that a token's text stands for, or nil when a character is none of the 256.
  static func decode(_ text: String) -> [UInt8]? {
    var decoded: [UInt8] = []
    for scalar in text.unicodeScalars {
      guard let byte = bytes[scalar] else { return nil }
      decoded.append(byte)
    }
    return decoded
  }

  static func encode(_ bytes: some Sequence<UInt8>) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(scalars[Int(byte)]) }
    return String(text)
  }
}
