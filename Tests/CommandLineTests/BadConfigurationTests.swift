import Testing

/// Faults that are found before any data is opened.
struct BadConfigurationTests {
  @Test(arguments: [
    set("a misspelt key", "model.hiden_size=32", says: "model.hiden_size", "did you mean hidden_size?"),
    set("an unknown section", "modle.hidden_size=32", says: "modle", "did you mean model?"),
    set("a wrong type", "training.steps=many", says: "training.steps", "expected an integer", "'many'"),
    set("a number out of range", "training.steps=0", says: "training.steps", "from 1"),
    set("a section for a number", "training.steps={a: 1}", says: "training.steps", "expected an integer"),
    set("no value at all", "training.steps", says: "--set training.steps", "key.path=value"),
    set("no key at all", "=3", says: "--set =3", "section.key=value"),
    set("a value that is no YAML", "training.steps=[1", says: "--set training.steps", "not valid YAML"),
    set("float16", "precision.mode=float16", says: "precision.mode", "float16 lacks the range", "bfloat16"),
    set(
      "a schedule of nothing", "parallel.schedule=dualpipe", says: "parallel.schedule",
      "no effect while pipeline is 1"),
    set(
      "a batch that cannot be divided", "training.micro_batch_size=3", says: "multiple of micro_batch_size"),
    set("more experts than there are", "model.num_experts_per_tok=9", says: "num_experts_per_tok (9)"),
    set(
      "a sequence beyond the positions", "training.sequence_length=65", says: "max_position_embeddings (64)"),
    set("a phase without its end", "learning_rate.phases=[{shape: linear}]", says: "phases", "key to"),
    set(
      "a policy that there is not", "training.non_finite=ignore", says: "stop, skip, roll_back", "'ignore'"),
    set("a limit of none", "training.non_finite_limit=0", says: "training.non_finite_limit", "from 1"),
    set("a path as a name", "run.name=a/b", says: "run.name", "run.directory"),
    set("data from two places", "data.synthetic=true", says: "data.synthetic", "more than one"),
    Refusal("a missing file", ["train", "missing.yaml"], says: "missing.yaml: no such file"),
    Refusal("a directory", ["train", "."], says: "is a directory; name a configuration file"),
  ])
  func isRefusedByName(refusal: Refusal) throws { try refusal.check(Workbench()) }

  private static func set(_ name: String, _ setting: String, says words: String...) -> Refusal {
    Refusal(name, ["train", "tiny.yaml", "--set", setting], words: words)
  }

  @Test func allFaultsOfAFileAreReportedWithTheirLines() throws {
    let bench = try Workbench()
    let text = TinyRecipe.configuration.replacing(
      "hidden_size: 32", with: "hiden_size: 32", maxReplacements: 1
    )
    .replacing("steps: 8", with: "steps: eight").replacing("mode: float32", with: "mode: float16")
    .replacing("every: 1\n", with: "every: 0\n")
    try bench.write("tiny.yaml", text)
    func line(_ part: String) throws -> Int {
      try #require(text.split(separator: "\n").firstIndex { $0.contains(part) }) + 1
    }
    let refusal = Refusal(
      "four faults", ["train", "tiny.yaml", "--set", "optimizer.beta1=2"],
      words: [
        "tiny.yaml:\(try line("hiden_size")): model.hiden_size: unknown key; did you mean hidden_size?",
        "tiny.yaml:\(try line("steps: eight")): training.steps", "'eight'",
        "tiny.yaml:\(try line("float16")): precision.mode",
        "tiny.yaml:\(try line("every: 0")): logging.every",
        "--set optimizer.beta1",
      ])
    try refusal.check(bench)
  }

  @Test(arguments: [
    ("no end of a list", "model:\n  a: 1\n  b: [1, 2\ndata: 3\n", "bad.yaml:4: not valid YAML"),
    ("a tab", "model:\n\thidden_size: 32\n", "bad.yaml:2: not valid YAML"),
    ("a key twice", "model:\n  hidden_size: 32\n  hidden_size: 32\n", "duplicate key"),
    ("no sections", "- 1\n- 2\n", "expected sections"), ("nothing", "", "bad.yaml: is empty"),
    ("an alias of nothing", "model: *nothing\n", "bad.yaml:1"),
  ])
  func brokenYAMLIsRefusedWithItsLine(name: String, text: String, word: String) throws {
    let bench = try Workbench()
    try bench.write("bad.yaml", text)
    try Refusal(name, ["train", "bad.yaml"], says: "bad.yaml", word).check(bench)
  }

  @Test(arguments: [
    Refusal("an unknown sub-command", ["trian"], says: "trian", "hadal --help"),
    Refusal(
      "an unknown option", ["train", "tiny.yaml", "--stes", "1"], says: "--stes", "hadal train --help"),
    Refusal("no configuration", ["train"], says: "<config>"),
    Refusal("no value", ["train", "tiny.yaml", "--set"], says: "--set"),
    Refusal("no such run", ["train", "tiny.yaml", "--resume", "no/run"], says: "no/run"),
    Refusal(
      "a name that no precision has",
      ["probe", "--model", "m", "--input", "i", "--output", "o"] + ["--precision", "int4"],
      says: "int4", "float32"),
    Refusal("no checkpoint", ["evaluate", "--checkpoint", "nowhere"], says: "nowhere", "step-N"),
    Refusal("no model", ["generate", "--checkpoint", "nowhere", "--prompt", "a"], says: "nowhere", "step-N"),
    Refusal(
      "a temperature below zero",
      ["generate", "--checkpoint", "nowhere", "--prompt", "a", "--temperature=-1"], says: "temperature"),
  ])
  func commandsThatCannotWorkAreRefused(refusal: Refusal) throws {
    let bench = try Workbench()
    try bench.prepare()
    try refusal.check(bench)
  }
}
