import Model
import Testing

private struct Inner: Sendable, Equatable {
  var rate = 0.5
  var word: String?

  static let schema = Schema<Inner>(
    initial: Inner(),
    fields: [
      .init("rate", \.rate, .float(.notNegative), required: .always, "a rate"),
      .init("word", \.word, ValueKind.string.optional(), "a word"),
    ])
}

private struct Sample: Sendable, Equatable {
  enum Color: String, Sendable, CaseIterable { case red, green }

  var size = 4
  var isOn = false
  var color = Color.red
  var limit: Int? = 7
  var names: [String] = []
  var tokens = 1_500
  var inner = Inner()
  var items: [Inner] = []

  static let schema = Schema<Sample>(
    initial: Sample(),
    fields: [
      .init("size", \.size, .integer(1...9), unit: "eggs", "a size"),
      .init("is_on", \.isOn, .bool, "a switch"),
      .init("color", \.color, .choice(Color.self, refusals: ["blue": "is sold out"]), "a color"),
      .init("limit", \.limit, ValueKind.integer(0...).optional("auto"), "a limit"),
      .init("names", \.names, ValueKind.string.oneOrMore(), "some names"),
      .init("tokens", \.tokens, .tokens, "a length"),
      .init("inner", \.inner, .section(Inner.schema), "more"),
      .init("items", \.items, ValueKind.section(Inner.schema).list(), "many"),
    ], unused: ["comment"],
    rules: [
      .init("limit", "size") {
        guard let limit = $0.limit, limit < $0.size else { return nil }
        return "limit (\(limit)) is below size (\($0.size))"
      }
    ])
}

@Suite struct SchemaTests {
  private func sample(_ tree: Tree) throws(ConfigurationError) -> Sample {
    try Sample.schema.parse(tree.node)
  }

  @Test func everyKindIsRead() throws {
    let read = try sample([
      "size": "5", "is_on": "true", "color": "green", "limit": "auto", "names": ["a", .quoted("7")],
      "tokens": "14.8T", "comment": "x", "inner": ["rate": "1e-3", "word": "w"],
      "items": [["rate": "2"], ["rate": "3.5", "word": .null]],
    ])
    var expected = Sample()
    (expected.size, expected.isOn, expected.color, expected.limit) = (5, true, .green, nil)
    (expected.names, expected.tokens) = (["a", "7"], 14_800_000_000_000)
    expected.inner = Inner(rate: 0.001, word: "w")
    expected.items = [Inner(rate: 2), Inner(rate: 3.5)]
    #expect(read == expected)
  }

  @Test func allFaultsAreReportedAtOnceWithTheirLines() {
    let found = faults { () throws(ConfigurationError) in
      _ = try sample([
        "size": "10", "is_on": "maybe", "colour": "red", "color": "blue", "limit": "x",
        "names": [["a": "b"]], "tokens": "1.5", "inner": ["word": "w", "rat": "1"], "zzz": "1", "size": "3",
      ])
    }
    #expect(
      found == [
        "test.yaml:1: size: expected an integer from 1 to 9, found '10'",
        "test.yaml:2: is_on: expected true or false, found 'maybe'",
        "test.yaml:3: colour: unknown key; did you mean color?",
        "test.yaml:4: color: blue is sold out; supported: red, green",
        "test.yaml:5: limit: expected an integer ≥ 0, found 'x'",
        "test.yaml:6: names.0: expected text, found a mapping",
        "test.yaml:8: tokens: expected a number of tokens such as 14.8T, 469B or 300000, found '1.5'",
        "test.yaml:11: inner.rat: unknown key; did you mean rate?",
        "test.yaml:9: inner.rate: missing; a rate",
        "test.yaml:12: zzz: unknown key; known here: size, is_on, color, limit, names, tokens, inner, items",
        "test.yaml:13: size: duplicate key; it already stands at test.yaml:1",
      ])
  }

  @Test(arguments: ["", "5.0", "0x5", "five", "10", "0", "99999999999999999999"])
  func integersAreStrict(text: String) {
    #expect(faults { () throws(ConfigurationError) in _ = try sample(["size": .text(text)]) }.count == 1)
  }

  @Test(arguments: ["inf", "nan", "0x1p3", "-1", "1e999", "1.2.3", ""])
  func numbersAreStrict(text: String) {
    let found = faults { () throws(ConfigurationError) in _ = try sample(["inner": ["rate": .text(text)]]) }
    #expect(found == ["test.yaml:2: inner.rate: expected a number ≥ 0, found '\(text)'"])
  }

  @Test func quotedTextIsNoNumber() {
    let found = faults { () throws(ConfigurationError) in _ = try sample(["size": .quoted("5")]) }
    #expect(found == ["test.yaml:1: size: expected an integer from 1 to 9, found the text \"5\""])
  }

  @Test func aRuleIsReportedWhereItsKeyStandsAndOnlyIfItsKeysAreSound() {
    let broken = faults { () throws(ConfigurationError) in _ = try sample(["is_on": "true", "limit": "2"]) }
    #expect(broken == ["test.yaml:2: limit: limit (2) is below size (4)"])
    let other = faults { () throws(ConfigurationError) in _ = try sample(["is_on": "true", "size": "8"]) }
    #expect(other == ["test.yaml:2: size: limit (7) is below size (8)"])
    let faulty = faults { () throws(ConfigurationError) in _ = try sample(["size": "x", "limit": "2"]) }
    #expect(faulty == ["test.yaml:1: size: expected an integer from 1 to 9, found 'x'"])
  }

  @Test func aKeyInTheWrongSectionIsPointedTo() {
    let found = faults { () throws(ConfigurationError) in
      _ = try sample(["inner": ["rate": "1", "tokens": "5"]])
    }
    #expect(found == ["test.yaml:3: inner.tokens: unknown key; the key of this name is tokens"])
  }

  @Test func whatIsWrittenReadsBackEqual() throws {
    var value = Sample()
    (value.limit, value.color, value.names, value.tokens) = (
      nil, .green, ["a b", "null", "7"], 14_633_000_000_000
    )
    value.items = [Inner(rate: 0.1, word: "say \"hi\"\n"), Inner(rate: 1e-300)]
    #expect(try Sample.schema.parse(Sample.schema.write(value)) == value)
  }

  @Test(arguments: [
    ("hiden_size", "hidden_size"), ("hidden_szie", "hidden_size"), ("HIDDEN_SIZE", "hidden_size"),
    ("hidden_sizes", "hidden_size"), ("vocabsize", "vocab_size"), ("colour", nil),
  ])
  func nearestKey(typed: String, meant: String?) throws {
    let tree = Tree.map([(typed, Tree.text("1"))])
    let found = faults { () throws(ConfigurationError) in _ = try ModelConfiguration.parse(tree.node) }
    let line = try #require(found.first { $0.contains("unknown key") })
    if let meant {
      #expect(line.hasSuffix("did you mean \(meant)?"))
    } else {
      #expect(line.contains("known here: vocab_size, hidden_size"))
    }
  }

  @Test(arguments: [
    ("0", 0), ("300000", 300_000), ("14.8T", 14_800_000_000_000), ("14.633T", 14_633_000_000_000),
    ("469B", 469_000_000_000), ("1.5K", 1500), ("64M", 64_000_000), ("0.001K", 1),
  ])
  func tokenCounts(text: String, count: Int) throws {
    #expect(try sample(["tokens": .text(text)]).tokens == count)
    let written = Sample.schema.write(try sample(["tokens": .text(text)]))
    #expect(try Sample.schema.parse(written).tokens == count)
  }

  @Test(arguments: ["1.5", "-1", "T", ".5T", "5.T", "1.2345K", "1e6", "99999999T", "5t", "1 K", "1.2.3K"])
  func tokenCountsThatAreNone(text: String) {
    #expect(faults { () throws(ConfigurationError) in _ = try sample(["tokens": .text(text)]) }.count == 1)
  }

  @Test func settingAPathMakesReplacesAndIndexes() throws {
    let location = ConfigurationLocation(source: "--set x")
    var node = (["size": "3", "items": [["rate": "1"], ["rate": "2"]]] as Tree).node
    try node.set(["items", "1", "rate"], to: ConfigurationNode(.scalar("9", quoted: false), at: location))
    try node.set(["inner", "rate"], to: ConfigurationNode(.scalar("4", quoted: false), at: location))
    try node.set(["size"], to: ConfigurationNode(.scalar("8", quoted: false), at: location))
    try node.set(["limit"], to: ConfigurationNode(.scalar("8", quoted: false), at: location))
    let read = try Sample.schema.parse(node)
    #expect(read.items.map(\.rate) == [1, 9] && read.inner.rate == 4 && read.size == 8)
    let found = faults { () throws(ConfigurationError) in
      try node.set(["items", "2"], to: ConfigurationNode(.null, at: location))
    }
    #expect(found == ["--set x: '2' is no item of a list of 2; items are counted from 0"])
  }
}
