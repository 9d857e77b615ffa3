import Foundation
import Testing

/// What the documents tell a user to type is typed here.
struct DocumentationTests {
  /// README.md and docs/*.md, as far as they exist.
  private static let documents: [String] = {
    let docs = (try? FileManager.default.contentsOfDirectory(atPath: PackageRoot.path("docs"))) ?? []
    let names = ["README.md"] + docs.filter { $0.hasSuffix(".md") }.sorted().map { "docs/\($0)" }
    return names.filter { FileManager.default.fileExists(atPath: PackageRoot.path($0)) }
  }()

  @Test(arguments: documents)
  func commandsWork(document: String) throws {
    let text = try String(contentsOfFile: PackageRoot.path(document), encoding: .utf8)
    let blocks = ShellBlocks(markdown: text, name: document)
    if blocks.blocks.isEmpty { return }
    let outcome = try Self.run(blocks)
    #expect(outcome.ending == .exit(0), "\(outcome.error.suffix(3000))\n\(outcome.output.suffix(1000))")
  }

  @Test func theConfigurationReferenceIsTheProgramsOwn() throws {
    let written = try String(contentsOfFile: PackageRoot.path("docs/configuration.md"), encoding: .utf8)
    let own = try Workbench().succeed(["reference"]).output
    let same = written == own
    #expect(
      same, "docs/configuration.md is out of date; make it with: hadal reference > docs/configuration.md")
  }

  /// Files of this package that documents, comments and scripts name.
  @Test func namedFilesExist() throws {
    let name =
      /\b(docs|benchmarks|launch|Tests|Sources|configs)\/[\w.\/-]*\.(md|py|sh|swift|c|h|inc|yaml|sbatch)\b/
    let places = ["docs", "Sources", "Tests", "benchmarks", "launch", "configs"]
    let found = places.flatMap { place in
      let files = FileManager.default.enumerator(atPath: PackageRoot.path(place))
      return (files?.allObjects as? [String] ?? []).map { "\(place)/\($0)" }
    }
    var missing: [String] = []
    for file in found + ["README.md", "Package.swift"] {
      guard let text = try? String(contentsOfFile: PackageRoot.path(file), encoding: .utf8) else { continue }
      for match in Set(text.matches(of: name).map { String($0.output.0) })
      where !FileManager.default.fileExists(atPath: PackageRoot.path(match)) {
        missing.append("\(file) names \(match)")
      }
    }
    #expect(missing.isEmpty, "\(missing.sorted().joined(separator: "\n"))")
  }

  /// In a directory of its own, which has the package's configurations and `hadal` on the PATH.
  private static func run(_ blocks: ShellBlocks) throws -> Outcome {
    let bench = try Workbench()
    let files = FileManager.default
    try files.copyItem(atPath: PackageRoot.path("configs"), toPath: "\(bench.path)/configs")
    let programs = "\(bench.path)/.programs"
    try files.createDirectory(atPath: programs, withIntermediateDirectories: true)
    try files.createSymbolicLink(
      atPath: "\(programs)/hadal", withDestinationPath: try HadalBinary.path())
    try bench.write(".script", blocks.script)
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    let environment = ["PATH": "\(programs):\(path)"]
    return try bench.start("/usr/bin/env", ["bash", ".script"], environment: environment).wait(seconds: 300)
  }

  @Test func onlyMarkedBlocksAreRun() {
    let blocks = ShellBlocks(markdown: Self.sample, name: "sample.md").blocks
    #expect(
      blocks == [
        .init(line: 4, commands: ["word=deep", "mkdir sea"]),
        .init(line: 13, commands: ["cd sea", "echo $word > word", "hadal --help > help"]),
      ])
  }

  @Test func blocksFollowEachOther() throws {
    let markdown = Self.sample + "```sh test\n[ $(cat word) = deep ]\ngrep -q evaluate help\n```\n"
    let outcome = try Self.run(ShellBlocks(markdown: markdown, name: "sample.md"))
    #expect(outcome.ending == .exit(0), "\(outcome)")
  }

  @Test func aFailureIsFoundAndNamed() throws {
    let markdown = Self.sample + "\n```sh test\nhadal train nothing.yaml | cat\necho on\n```\n"
    let outcome = try Self.run(ShellBlocks(markdown: markdown, name: "sample.md"))
    #expect(outcome.ending == .exit(2))
    #expect(outcome.output.isEmpty)
    #expect(outcome.error.contains("nothing.yaml: no such file"))
    #expect(outcome.error.contains("sample.md:24: failed: "), "\(outcome.error)")
  }

  private static let sample = """
    # Words

    ```sh test
    word=deep
    mkdir sea
    ```

    ```sh
    false
    ```

      ````sh fast test
    cd sea
    echo $word > word
    hadal --help > help
      ````

    ```yaml test
    - no
    ```


    """
}
