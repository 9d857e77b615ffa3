import Foundation

/// `metrics.jsonl` of a run, as text: numbers are compared by their digits.
struct MetricsFile {
  let path: String

  /// What depends on the clock or the machine, and may differ between two runs that are the same.
  private static let passing = ["tokens_per_second", "step_seconds", "seconds", "peak_memory_bytes"]

  /// Whole lines; a record that is being written is not one yet.
  func lines() throws -> [String] {
    let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
  }

  /// Steps that are written down; 0 while there is no file.
  func stepCount() -> Int {
    guard let lines = try? lines() else { return 0 }
    return lines.count { $0.hasPrefix("{\"kind\":\"step\"") }
  }

  /// The lines without what may differ.
  func repeatable() throws -> [String] {
    try lines().map { line in
      Self.passing.reduce(line) { line, key in
        line.replacing(try! Regex("\"\(key)\":[^,}]*,?"), with: "")
      }
    }
  }

  /// The steps as JSON objects.
  func steps() throws -> [[String: Any]] { try records("step") }

  /// The evaluations as JSON objects.
  func evaluations() throws -> [[String: Any]] { try records("evaluation") }

  /// A number of every step.
  func values(_ key: String) throws -> [Double] { try steps().compactMap { $0[key] as? Double } }

  private func records(_ kind: String) throws -> [[String: Any]] {
    try lines().compactMap { line in
      let record = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      return record?["kind"] as? String == kind ? record : nil
    }
  }
}
