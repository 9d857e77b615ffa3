internal import Foundation

/// How quantities are written for a person.
package enum ProgressText {
  /// "7s", "3m07s" or "12h05m"; "unknown" for what is no time.
  static func time(seconds: Double) -> String {
    guard let whole = Int(exactly: seconds.rounded()), whole >= 0 else { return "unknown" }
    if whole < 60 { return "\(whole)s" }
    if whole < 3600 { return "\(whole / 60)m" + twoDigits(whole % 60) + "s" }
    return "\(whole / 3600)h" + twoDigits(whole % 3600 / 60) + "m"
  }

  /// In decimal units: "3.7 kB", "512 MB", "2.75 GB".
  package static func memory(bytes: Int) -> String {
    switch bytes {
    case 1..<1_000_000: String(format: "%.1f kB", Double(bytes) / 1e3)
    case 1_000_000..<10_000_000: String(format: "%.2f MB", Double(bytes) / 1e6)
    case ..<1_000_000_000: String(format: "%.0f MB", Double(bytes) / 1e6)
    default: String(format: "%.2f GB", Double(bytes) / 1e9)
    }
  }

  /// Three digits: "0.125", "1.5e-06".
  static func digits(_ value: Double) -> String { String(format: "%.3g", value) }

  private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
