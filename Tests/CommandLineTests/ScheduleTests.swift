import Foundation
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

/// `hadal schedule`, in all its formats.
struct ScheduleTests {
  private static let small = ["schedule", "zb1p", "--ranks", "2", "--microbatches", "3"]
  private static let slow = ["--message-bytes", "8", "--bandwidth", "16", "--latency", "0.25"]
  private static let large = ["schedule", "dualpipe", "--ranks", "16", "--microbatches", "40"]

  private func output(_ arguments: [String]) throws -> String { try Workbench().succeed(arguments).output }

  @Test func textIsAScheduleWithItsTimelineInComments() throws {
    #expect(
      try output(Self.small + Self.slow) == """
        # zb1p: 2 ranks, 3 micro-batches, 2 stages, 1 route
        # costs in seconds: F 1, I 1, W 1, B = I + W, F&B F + I + W; messages 8 bytes at 16 bytes/s and 0.25 s; \
        a processor for each rank
        # makespan 13; mean bubble 30.8 % of it
        # critical path: 10 computing, 3 in messages
        #
        # rank  stages  bubble  awaiting activations  gradients  after its end  peak activations
        #    0       0       4                     0          4              0                 2
        #    1       1       4                  3.25          0           0.75                 2
        #
        #  time  rank0 rank1
        #     0  F0.0  .
        #     1  F0.1  .
        #  1.75  |     F0.0
        #  2.75  .     I0.0
        #  3.75  .     F0.1
        #   4.5  I0.0  |
        #  4.75  |     I0.1
        #   5.5  W0.0  |
        #  5.75  |     W0.0
        #   6.5  F0.2  |
        #   7.5  I0.1  .
        #  8.25  |     F0.2
        #   8.5  W0.1  |
        #  9.25  |     I0.2
        # 10.25  .     W0.1
        #    11  I0.2  |
        # 11.25  |     W0.2
        #    12  W0.2  |
        #    13

        schedule zb1p
        ranks 2
        microbatches 3
        route 0.0 1.0
        rank 0: F0.0 F0.1 I0.0 W0.0 F0.2 I0.1 W0.1 I0.2 W0.2
        rank 1: F0.0 I0.0 F0.1 I0.1 W0.0 F0.2 I0.2 W0.1 W0.2

        """)
  }

  @Test func jsonHasTheLanesAndTheFigures() throws {
    #expect(
      try output(Self.small + Self.slow + ["--format", "json"]) == """
        {"lanes": [
        ["F0.0","F0.1","I0.0","W0.0","F0.2","I0.1","W0.1","I0.2","W0.2"],
        ["F0.0","I0.0","F0.1","I0.1","W0.0","F0.2","I0.2","W0.1","W0.2"]
        ], "makespan": 13.0, "bubble": [4.0, 4.0], "peak_activations": [2, 2]}

        """)
  }

  @Test func jsonIsThatOfTheOracle() throws {
    let path = PackageRoot.path("Tests/Oracle/schedules/dualpipe.json")
    let oracle = try JSONDecoder().decode(
      [String: [String: [[String]]]].self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    for (name, size) in [("dualpipe", "6x12"), ("dualpipev", "3x9")] {
      let numbers = size.split(separator: "x").map(String.init)
      let json = try object(
        ["schedule", name, "--ranks", numbers[0], "--microbatches", numbers[1], "--format", "json"])
      #expect(Set(json.keys) == ["lanes", "makespan", "bubble", "peak_activations"])
      #expect(json["lanes"] as? [[String]] == oracle[name]?[size])
    }
  }

  @Test func pairsStandOneBelowTheOther() throws {
    let lines = try output(Self.large).split(separator: "\n")
    // 16 columns as wide as their tokens.
    #expect(lines.filter { $0.hasPrefix("#") }.allSatisfy { $0.count < 130 })
    let below = try #require(lines.firstIndex { $0.contains(" &B") })
    let column = try #require(lines[below].firstIndex(of: "&")).utf16Offset(in: lines[below])
    #expect(lines[below - 1].dropFirst(column).hasPrefix("F"), "\(lines[below - 1...below])")
  }

  @Test func textIsReadAgain() throws {
    let bench = try Workbench()
    let text = try bench.succeed(Self.large).output
    try bench.write("again.schedule", text)
    #expect(try bench.succeed(["schedule", "again.schedule"]).output == text)
    #expect(try bench.succeed(["schedule", "./again.schedule", "--ranks", "16"]).output == text)
    let wrong = text.replacingOccurrences(of: "rank 3: F0.0 F0.1", with: "rank 3: F0.0 F0.0")
    try bench.write("wrong.schedule", wrong)
    try bench.write("torn.schedule", "schedule torn\nranks 1\nmicrobatches 1\nroute 0.0\nrank 0: F0.0 B0,0\n")
    let refusals = [
      Refusal(
        "doubled", ["schedule", "wrong.schedule"], says: "wrong.schedule:", "rank 3, index 1 (F0.0)",
        "done twice"),
      Refusal("unreadable", ["schedule", "torn.schedule"], says: "torn.schedule:5:14: 'B0,0' is no action"),
      Refusal("missing", ["schedule", "missing.schedule"], says: "missing.schedule: no such file"),
      Refusal("size", ["schedule", "again.schedule", "--ranks", "8"], says: "has 16 ranks, but 8"),
      Refusal("stages", ["schedule", "again.schedule", "--virtual-stages", "2"], says: "only interleaved"),
    ]
    for refusal in refusals { try refusal.check(bench) }
  }

  @Test func svgIsWellFormedAndDrawsEverything() throws {
    let svg = try output(Self.large + ["--format", "svg"])
    let elements = XMLElements(svg)
    #expect(elements.isWellFormed && elements.names.first == "svg")
    // Each rank does 40 micro-batches: an F, and a B or an I with its W, of which pairs share a group.
    let json = try object(Self.large + ["--format", "json"])
    let lanes = try #require(json["lanes"] as? [[String]])
    #expect(elements.names.filter { $0 == "g" }.count == lanes.joined().count)
    let parts = lanes.joined().flatMap { $0.split(separator: "&") }.count
    // Beside them 16 idle rows, 5 boxes of the legend and the ground.
    #expect(elements.names.filter { $0 == "rect" }.count == parts + 16 + 5 + 1)
    #expect(svg.contains(">rank 15</text>") && svg.contains("&amp;B1.0 "))
  }

  @Test func traceHasAnEventForEachAction() throws {
    let json = try object(Self.small + Self.slow + ["--format", "trace"])
    let events = try #require(json["traceEvents"] as? [[String: Any]])
    let actions = events.filter { $0["ph"] as? String == "X" }
    #expect(actions.count == 18 && events.count == 18 + 3)
    let last = try #require(actions.last)
    #expect(last["name"] as? String == "W0.2" && last["tid"] as? Int == 1)
    #expect(last["ts"] as? Double == 11.25e6 && last["dur"] as? Double == 1e6)
    let second = try #require(actions.first { $0["name"] as? String == "I0.0" })
    #expect((second["args"] as? [String: String])?["awaited"] == "gradient")
  }

  private func object(_ arguments: [String]) throws -> [String: Any] {
    let data = Data(try output(arguments).utf8)
    return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  @Test func costsAreTaken() throws {
    let makespan = { (options: [String]) in
      try object(
        ["schedule", "dualpipe", "--ranks", "8", "--microbatches", "20"] + options + ["--format", "json"])[
          "makespan"] as? Double
    }
    #expect(try makespan([]) == 66)
    let peaks = try output(Self.small + ["--activation-bytes", "1024"]).split(separator: "\n").prefix(8)
    #expect(peaks.filter { $0.hasSuffix("  2048") }.count == 2, "\(peaks)")
    #expect(try makespan(["--overlapped", "2"]) == 52)
    #expect(try makespan(["--forward", "2", "--input-gradient", "2", "--weight-gradient", "2"]) == 132)
    // The work of eight ranks, one after the other.
    #expect(try makespan(["--processors", "1"]) == 480)
    let interleaved = ["--ranks", "2", "--microbatches", "4", "--virtual-stages", "3", "--format", "json"]
    // Three stages of 3 s a rank, for 4 micro-batches, and a bubble of one stage.
    #expect(try object(["schedule", "interleaved"] + interleaved)["makespan"] as? Double == 39)
  }

  @Test(arguments: [
    Refusal(
      "an odd number", ["schedule", "dualpipe", "--ranks", "3", "--microbatches", "8"],
      says: "even number; dualpipev"),
    Refusal(
      "too few", ["schedule", "dualpipe", "--ranks", "4", "--microbatches", "6"], says: "at least 8", "1f1b"),
    Refusal("a name", ["schedule", "dualpip"], says: "'dualpip' is no schedule", "dualpipev"),
    Refusal("no ranks", ["schedule", "1f1b", "--microbatches", "4"], says: "--ranks: is not given"),
    Refusal("no size", ["schedule", "1f1b", "--ranks", "4"], says: "--microbatches: is not given"),
    Refusal("no number", small + ["--forward", "nan"], says: "forward nan"),
    Refusal("no processor", small + ["--processors", "0"], says: "0 processors"),
    Refusal("a free byte", small + ["--message-bytes", "8"], says: "--message-bytes", "--bandwidth"),
    Refusal("no byte", small + ["--bandwidth", "8"], says: "--bandwidth", "--message-bytes"),
    Refusal("no bandwidth", small + ["--message-bytes", "8", "--bandwidth", "0"], says: "bandwidth 0.0"),
    Refusal("a format", small + ["--format", "png"], says: "--format", "svg"),
    Refusal("stages", small + ["--virtual-stages", "2"], says: "only interleaved"),
  ])
  func whatCannotBePrintedIsRefused(refusal: Refusal) throws { try refusal.check(Workbench()) }
}

/// The elements of an XML document in order, and whether it could be read to its end.
private final class XMLElements: NSObject, XMLParserDelegate {
  private(set) var names: [String] = []
  private(set) var isWellFormed = false

  init(_ text: String) {
    super.init()
    let parser = XMLParser(data: Data(text.utf8))
    parser.delegate = self
    isWellFormed = parser.parse()
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) { names.append(name) }
}
