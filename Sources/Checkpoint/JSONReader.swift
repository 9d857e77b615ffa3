/// Reads JSON strictly (RFC 8259), value by value as the caller's schema asks for them.
///
/// No tree is built, so a hostile file cannot make the reader allocate more than a schema keeps. Refused
/// beyond the RFC: a key that occurs twice in an object, integers outside `Int`, numbers that are not
/// finite. Works on borrowed bytes: must not outlive them.
struct JSONReader {
  private static let longestNumber = 64
  private static let deepestSkip = 64

  private let bytes: UnsafeRawBufferPointer
  private let path: String
  private let base: Int
  private var position = 0

  /// - Parameter base: Where `bytes` begins in the file at `path`; error messages count from the file's
  ///   start.
  init(_ bytes: UnsafeRawBufferPointer, path: String, base: Int = 0) {
    (self.bytes, self.path, self.base) = (bytes, path, base)
  }

  /// The error that says what is wrong at the value just read, or at byte `offset` of the text.
  func fault(_ message: String, at offset: Int? = nil) -> CheckpointError {
    CheckpointError(.malformed, path: path, "byte \(base + (offset ?? position)): \(message)")
  }

  /// Reads an object; `member` must read the value of each key that it is given.
  mutating func object(
    _ member: (inout JSONReader, String) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    try expect("{")
    var keys: Set<String> = []
    if take("}") { return }
    repeat {
      skipSpace()
      let start = position
      let key = try string()
      guard keys.insert(key).inserted else { throw fault("the key \(quoted(key)) occurs twice", at: start) }
      try expect(":")
      try member(&self, key)
    } while take(",")
    try expect("}")
  }

  /// Reads an array; `element` must read each element.
  mutating func array(
    _ element: (inout JSONReader) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    try expect("[")
    if take("]") { return }
    repeat { try element(&self) } while take(",")
    try expect("]")
  }

  /// Reads an integer that is not negative.
  mutating func natural() throws(CheckpointError) -> Int {
    let (text, start) = try numberText()
    guard let value = Int(text) else { throw fault("\(text) is not an integer of 64 bits", at: start) }
    guard value >= 0 else { throw fault("\(text) is negative", at: start) }
    return value
  }

  /// Reads a list of integers that are not negative, at most `limit` of them.
  mutating func naturals(limit: Int) throws(CheckpointError) -> [Int] {
    var values: [Int] = []
    try array { (reader) throws(CheckpointError) in
      guard values.count < limit else { throw reader.fault("more than \(limit) numbers") }
      values.append(try reader.natural())
    }
    return values
  }

  /// Reads a string or a number.
  mutating func scalar() throws(CheckpointError) -> StateValue {
    skipSpace()
    if peek() == UInt8(ascii: "\"") { return .string(try string()) }
    let (text, start) = try numberText()
    if text.utf8.allSatisfy({ $0 == UInt8(ascii: "-") || Self.isDigit($0) }) {
      guard let value = Int(text) else { throw fault("\(text) does not fit in 64 bits", at: start) }
      return .integer(value)
    }
    guard let value = Double(text), value.isFinite else { throw fault("\(text) is not finite", at: start) }
    return .number(value)
  }

  /// Passes over one value of any kind.
  mutating func skip(depth: Int = 0) throws(CheckpointError) {
    guard depth < Self.deepestSkip else { throw fault("nested more than \(Self.deepestSkip) deep") }
    skipSpace()
    switch peek() {
    case UInt8(ascii: "{"):
      try object { (reader, _) throws(CheckpointError) in try reader.skip(depth: depth + 1) }
    case UInt8(ascii: "["):
      try array { (reader) throws(CheckpointError) in try reader.skip(depth: depth + 1) }
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "t"): try expectWord("true")
    case UInt8(ascii: "f"): try expectWord("false")
    case UInt8(ascii: "n"): try expectWord("null")
    default: _ = try numberText()
    }
  }

  /// Requires that nothing but space follows.
  mutating func end() throws(CheckpointError) {
    skipSpace()
    guard position == bytes.count else { throw fault("text after the end of the JSON value") }
  }

  private func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard peek() == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(CheckpointError) {
    guard take(character) else {
      throw fault("\"\(character)\" expected" + (peek() == nil ? ", but the text ends" : ""))
    }
  }

  private mutating func expectWord(_ word: StaticString) throws(CheckpointError) {
    let letters = UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    guard bytes.dropFirst(position).starts(with: letters) else { throw fault("\"\(word)\" expected") }
    position += letters.count
  }
}

extension JSONReader {
  private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

  /// The characters of a number, once they follow the grammar, and where they begin.
  private mutating func numberText() throws(CheckpointError) -> (text: String, start: Int) {
    skipSpace()
    let start = position
    if peek() == UInt8(ascii: "-") { position += 1 }
    let leadingZero = peek() == UInt8(ascii: "0")
    let integerDigits = skipDigits()
    var valid = integerDigits == 1 || (integerDigits > 1 && !leadingZero)
    if peek() == UInt8(ascii: ".") {
      position += 1
      valid = skipDigits() > 0 && valid
    }
    if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
      position += 1
      if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { position += 1 }
      valid = skipDigits() > 0 && valid
    }
    guard valid else { throw fault("a number expected", at: start) }
    guard position - start <= Self.longestNumber else {
      throw fault("a number of more than \(Self.longestNumber) characters", at: start)
    }
    return (String(decoding: bytes[start..<position], as: UTF8.self), start)
  }

  private mutating func skipDigits() -> Int {
    let start = position
    while let byte = peek(), Self.isDigit(byte) { position += 1 }
    return position - start
  }

  /// Reads a string: valid UTF-8, no raw control characters, no lone surrogate.
  mutating func string() throws(CheckpointError) -> String {
    guard take("\"") else { throw fault("a string expected") }
    let start = position
    var text: [UInt8] = []
    var run = position
    while let byte = peek() {
      switch byte {
      case UInt8(ascii: "\""):
        text.append(contentsOf: bytes[run..<position])
        position += 1
        guard let result = String(validating: text, as: UTF8.self) else {
          throw fault("a string that is not UTF-8", at: start)
        }
        return result
      case UInt8(ascii: "\\"):
        text.append(contentsOf: bytes[run..<position])
        position += 1
        try appendEscape(to: &text)
        run = position
      case 0..<0x20: throw fault("a control character in a string")
      default: position += 1
      }
    }
    throw fault("a string without an end", at: start)
  }

  private mutating func appendEscape(to text: inout [UInt8]) throws(CheckpointError) {
    guard let byte = peek() else { throw fault("a string without an end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0c)
    case UInt8(ascii: "n"): text.append(0x0a)
    case UInt8(ascii: "r"): text.append(0x0d)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"): text.append(contentsOf: try escapedScalar().utf8)
    default: throw fault("an unknown escape in a string", at: position - 1)
    }
  }

  /// The character of `\uXXXX`, or of two of them that form a surrogate pair.
  private mutating func escapedScalar() throws(CheckpointError) -> Character {
    let start = position
    var code = try hexadecimal()
    if 0xd800..<0xdc00 ~= code, bytes.dropFirst(position).starts(with: [0x5c, 0x75]) {
      position += 2
      let low = try hexadecimal()
      guard 0xdc00..<0xe000 ~= low else { throw fault("half of a surrogate pair", at: start) }
      code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
    }
    guard let scalar = Unicode.Scalar(code) else { throw fault("half of a surrogate pair", at: start) }
    return Character(scalar)
  }

  private mutating func hexadecimal() throws(CheckpointError) -> UInt32 {
    let digits = String(decoding: bytes.dropFirst(position).prefix(4), as: UTF8.self)
    guard digits.utf8.count == 4, digits.first != "+", digits.first != "-",
      let code = UInt32(digits, radix: 16)
    else { throw fault("four hexadecimal digits expected") }
    position += 4
    return code
  }
}
