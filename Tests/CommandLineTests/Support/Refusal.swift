import Testing

/// Bad input, and what must be said about it.
struct Refusal: Sendable, CustomTestStringConvertible {
  let name: String
  let arguments: [String]
  /// Words of the message: where the fault is, what it is, what to do.
  let words: [String]

  init(_ name: String, _ arguments: [String], words: [String]) {
    (self.name, self.arguments, self.words) = (name, arguments, words)
  }

  init(_ name: String, _ arguments: [String], says words: String...) {
    self.init(name, arguments, words: words)
  }

  var testDescription: String { name }

  /// Runs the command: exit code 2, the words on stderr, nothing on stdout, and no file is made or changed.
  func check(
    _ bench: Workbench, environment: [String: String] = [:], location: SourceLocation = #_sourceLocation
  ) throws {
    let before = try bench.snapshot()
    let outcome = try bench.run(arguments, environment: environment)
    #expect(outcome.ending == .exit(2), "\(name): \(outcome)", sourceLocation: location)
    #expect(outcome.error.hasPrefix("hadal: error:"), "\(name): \(outcome.error)", sourceLocation: location)
    #expect(outcome.output.isEmpty, "\(name): \(outcome.output)", sourceLocation: location)
    for word in words where !outcome.error.contains(word) {
      Issue.record("\(name): '\(word)' is not in: \(outcome.error)", sourceLocation: location)
    }
    let after = try bench.snapshot()
    let changed = Set(before.keys).union(after.keys).filter { before[$0] != after[$0] }.sorted()
    #expect(changed.isEmpty, "\(name) made, changed or removed files", sourceLocation: location)
  }
}
