import Foundation
import Model
import Testing
import Training

/// The faults of a body that must throw.
func faults(_ body: () throws(ConfigurationError) -> Void) -> [String] {
  do throws(ConfigurationError) {
    try body()
    return []
  } catch {
    return error.faults.map(\.description)
  }
}

@Suite struct ConfigurationReaderTests {
  private func read(_ yaml: String) throws(ConfigurationError) -> ConfigurationNode {
    try ConfigurationReader.parse(yaml, source: "a.yaml")
  }

  private func faultsOf(_ yaml: String) -> [String] {
    faults { () throws(ConfigurationError) in _ = try read(yaml) }
  }

  @Test func linesAndQuotes() throws {
    let node = try read("# comment\nmodel:\n  a: 1\n  b: \"1\"\n  c: ~\n  d: [x, 'y']\n")
    let model = try #require(node.entry("model"))
    #expect(model.location.line == 2 && model.location.column == 1)
    let entries = try #require(model.value.entries)
    #expect(entries.map(\.location.line) == [3, 4, 5, 6] && entries.map(\.location.column) == [3, 3, 3, 3])
    #expect(entries[0].value.content == .scalar("1", quoted: false))
    #expect(entries[1].value.content == .scalar("1", quoted: true))
    #expect(entries[2].value.isNull)
    guard case .sequence(let items) = entries[3].value.content else { return #expect(Bool(false)) }
    #expect(items.map(\.content) == [.scalar("x", quoted: false), .scalar("y", quoted: true)])
  }

  @Test func aliasesStandForWhatTheyName() throws {
    let node = try read("a: &x {k: 5}\nb: *x\n")
    #expect(node.entry("b")?.value.entry("k")?.value.content == .scalar("5", quoted: false))
  }

  @Test(arguments: [
    ("", "a.yaml: is empty; expected a configuration"),
    ("# only a comment\n", "a.yaml: is empty; expected a configuration"),
    ("~\n", "a.yaml: is empty; expected a configuration"),
    ("a: 1\n---\nb: 2\n", "a.yaml:3: a second document begins here"),
    ("a: 1\nb: [1, 2\nc: 3\n", "a.yaml:3: not valid YAML: "),
    ("a: 1\n\tb: 2\n", "a.yaml:2: not valid YAML: "),
    ("a: 1\nb: *gone\n", "a.yaml:2: "),
    ("a:\n  b: 1\n  c: 2\n  b: 3\n", "a.yaml:2: duplicate key in the section that begins here: b"),
    ("base: &x {k: 5}\nb:\n  <<: *x\n", "a.yaml:3: merge keys (<<) are not supported"),
    ("a: \u{0}\n", "a.yaml: not valid YAML: "),
    ("[1, 2]: 3\n", "a.yaml:1: a key must be a plain word"),
  ])
  func faultsOfTheText(yaml: String, fault: String) {
    let found = faultsOf(yaml)
    #expect(found.count == 1 && found[0].hasPrefix(fault), "\(found)")
  }

  @Test func faultsOfTheFile() throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let latin = directory.appendingPathComponent("latin.yaml").path
    try Data([0x61, 0x3A, 0x20, 0xE9]).write(to: URL(fileURLWithPath: latin))
    let expected = [
      (directory.path, "is a directory; name a configuration file"),
      (directory.path + "/none.yaml", "no such file"), (latin, "is not UTF-8 text"),
    ]
    for (path, message) in expected {
      let found = faults { () throws(ConfigurationError) in _ = try RunConfiguration.load(path: path) }
      #expect(found == ["\(path): \(message)"])
    }
  }
}
