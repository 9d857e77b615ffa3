/// The bytes of a protocol-buffer message, field by field.
///
/// A field is a key, `number << 3 | wire type`, and a value; numbers are little-endian.
/// Source: "Encoding", protobuf.dev.
struct ProtobufMessage {
  private(set) var bytes: [UInt8] = []

  /// Wire type 0.
  mutating func add(_ number: Int, _ value: Int64) {
    addKey(number, wireType: 0)
    addVariable(UInt64(bitPattern: value))
  }

  /// Wire type 1.
  mutating func add(_ number: Int, _ value: Double) {
    addKey(number, wireType: 1)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// Wire type 5.
  mutating func add(_ number: Int, _ value: Float) {
    addKey(number, wireType: 5)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// Wire type 2.
  mutating func add(_ number: Int, _ value: String) { add(number, content: value.utf8) }

  /// Wire type 2.
  mutating func add(_ number: Int, _ value: ProtobufMessage) { add(number, content: value.bytes) }

  private mutating func add(_ number: Int, content: some Collection<UInt8>) {
    addKey(number, wireType: 2)
    addVariable(UInt64(content.count))
    bytes.append(contentsOf: content)
  }

  private mutating func addKey(_ number: Int, wireType: UInt64) {
    addVariable(UInt64(number) << 3 | wireType)
  }

  /// Seven bits a byte, the lowest first; the top bit says that more follow.
  private mutating func addVariable(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
