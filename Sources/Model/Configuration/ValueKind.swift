/// What a key may hold: how it is read, how it is written back, and how the reference names it.
package struct ValueKind<Value: Sendable>: Sendable {
  /// For people: `integer ≥ 1`.
  package let name: String
  /// Reports a fault and returns nil for what it cannot take.
  package let read: @Sendable (ConfigurationNode, inout ConfigurationReading) -> Value?
  /// What `read` takes back to an equal value.
  package let write: @Sendable (Value) -> ConfigurationNode
  /// The keys inside, for a section or a list of them.
  package let rows: [ReferenceRow]

  package init(
    _ name: String, rows: [ReferenceRow] = [],
    read: @escaping @Sendable (ConfigurationNode, inout ConfigurationReading) -> Value?,
    write: @escaping @Sendable (Value) -> ConfigurationNode
  ) {
    self.name = name
    self.rows = rows
    self.read = read
    self.write = write
  }

  /// A kind whose unquoted scalars `parse` understands.
  fileprivate init(
    _ name: String, expected: String, parse: @escaping @Sendable (String) -> Value?,
    text: @escaping @Sendable (Value) -> String
  ) {
    self.init(
      name,
      read: { node, reading in
        if case .scalar(let text, quoted: false) = node.content, let value = parse(text) { return value }
        reading.fault(at: node.location, "expected \(expected), found \(node.found)")
        return nil
      }, write: { .plain(text($0)) })
  }
}

extension ValueKind where Value == Int {
  package static func integer(_ range: ClosedRange<Int>) -> ValueKind {
    let name = "integer from \(range.lowerBound) to \(range.upperBound)"
    return ValueKind(
      name, expected: "an " + name, parse: { Int($0).flatMap { range.contains($0) ? $0 : nil } },
      text: { String($0) })
  }

  package static func integer(_ range: PartialRangeFrom<Int>) -> ValueKind {
    let name = "integer ≥ \(range.lowerBound)"
    return ValueKind(
      name, expected: "an " + name, parse: { Int($0).flatMap { range.contains($0) ? $0 : nil } },
      text: { String($0) })
  }

  /// A number of tokens, also as `14.8T` or `469B`.
  package static let tokens = ValueKind(
    "tokens (`14.8T`, `469B` or digits)", expected: "a number of tokens such as 14.8T, 469B or 300000",
    parse: TokenCount.parse, text: TokenCount.text)

  /// As `tokens`, where none at all would mean nothing.
  package static let someTokens = ValueKind(
    "tokens ≥ 1 (`14.8T`, `469B` or digits)",
    expected: "a number of tokens, at least 1, such as 14.8T, 469B or 300000",
    parse: { TokenCount.parse($0).flatMap { $0 >= 1 ? $0 : nil } }, text: TokenCount.text)
}

/// The open or closed ends of a range of real numbers, as text and as a test.
package struct RealRange: Sendable {
  let name: String
  let contains: @Sendable (Double) -> Bool

  package static let positive = RealRange(name: "> 0") { $0 > 0 }
  package static let notNegative = RealRange(name: "≥ 0") { $0 >= 0 }
  package static let fraction = RealRange(name: "≥ 0 and < 1") { $0 >= 0 && $0 < 1 }
  package static func atLeast(_ limit: Double) -> RealRange { RealRange(name: "≥ \(limit)") { $0 >= limit } }
}

extension ValueKind where Value: BinaryFloatingPoint & LosslessStringConvertible {
  /// A finite number. Text goes straight to `Value`: no second rounding on the way.
  package static func float(_ range: RealRange) -> ValueKind {
    let name = "number \(range.name)"
    return ValueKind(
      name, expected: "a " + name,
      parse: { text in
        // Swift would also read "inf", "nan" and hexadecimal; a configuration has no use for them.
        guard text.utf8.allSatisfy(Self.isNumeric), let value = Value(text), value.isFinite,
          range.contains(Double(value))
        else { return nil }
        return value
      }, text: text)
  }

  /// The shortest digits that read back exactly; with a point, since YAML 1.1 readers take 1e-06 for text.
  private static func text(_ value: Value) -> String {
    let text = "\(value)"
    guard let exponent = text.firstIndex(of: "e"), !text.contains(".") else { return text }
    return text[..<exponent] + ".0" + text[exponent...]
  }

  private static func isNumeric(_ byte: UInt8) -> Bool { "0123456789+-.eE".utf8.contains(byte) }
}

extension ValueKind where Value == Bool {
  package static let bool = ValueKind(
    "true or false", expected: "true or false",
    parse: {
      ["true": true, "True": true, "TRUE": true, "false": false, "False": false, "FALSE": false][$0]
    },
    text: { "\($0)" })
}

extension ValueKind where Value == String {
  /// Any text but none at all; digits count as text, for a run may be called 7.
  package static let string = ValueKind(
    "text",
    read: { node, reading in
      if case .scalar(let text, _) = node.content, !text.isEmpty { return text }
      reading.fault(at: node.location, "expected text, found \(node.found)")
      return nil
    }, write: { ConfigurationNode(.scalar($0, quoted: true)) })
}

extension ValueKind where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
  /// One of the words of an enumeration.
  ///
  /// `refusals` names words that a user may well expect, and says why they are not taken.
  package static func choice(_ type: Value.Type, refusals: [String: String] = [:]) -> ValueKind {
    let words = type.allCases.map(\.rawValue)
    return ValueKind(
      words.map { "`\($0)`" }.joined(separator: ", "),
      read: { node, reading in
        guard case .scalar(let text, _) = node.content, let value = Value(rawValue: text) else {
          var message = "expected one of \(words.joined(separator: ", ")); found \(node.found)"
          if case .scalar(let text, _) = node.content, let reason = refusals[text] {
            message = "\(text) \(reason); supported: \(words.joined(separator: ", "))"
          }
          reading.fault(at: node.location, message)
          return nil
        }
        return value
      }, write: { .plain($0.rawValue) })
  }
}
