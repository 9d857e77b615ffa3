/// Numbers of tokens as people write them: `14.8T`, `469B`, `300M`, `64K` or plain digits.
enum TokenCount {
  private static let units: [(suffix: Character, zeros: Int)] = [("K", 3), ("M", 6), ("B", 9), ("T", 12)]

  /// The exact number, or nil if `text` is no count, is no whole number of tokens, or does not fit.
  static func parse(_ text: String) -> Int? {
    let unit = units.first { text.last == $0.suffix }
    let mantissa = unit == nil ? Substring(text) : text.dropLast()
    let parts = mantissa.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), parts.allSatisfy(isDigits) else { return nil }
    // Digits, not floating point: 14.633T must be 14,633,000,000,000 and nothing beside it.
    let fraction = parts.count == 2 ? parts[1] : ""
    let zeros = (unit?.zeros ?? 0) - fraction.count
    guard zeros >= 0 else { return nil }
    return Int(parts[0] + fraction + String(repeating: "0", count: zeros))
  }

  /// The shortest of the forms that `parse` reads back exactly.
  static func text(_ count: Int) -> String {
    for unit in units.reversed() {
      let digits = String(count)
      guard digits.count > unit.zeros else { continue }
      let whole = digits.dropLast(unit.zeros)
      let fraction = trimmed(digits.suffix(unit.zeros))
      if fraction.count <= 3 { return whole + (fraction.isEmpty ? "" : "." + fraction) + String(unit.suffix) }
    }
    return String(count)
  }

  private static func isDigits(_ text: Substring) -> Bool {
    !text.isEmpty && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  private static func trimmed(_ digits: Substring) -> Substring {
    var digits = digits
    while digits.last == "0" { digits.removeLast() }
    return digits
  }
}
