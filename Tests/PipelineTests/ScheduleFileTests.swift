import Foundation
import Testing

@testable import Pipeline

struct ScheduleFileTests {
  @Test(arguments: Sample.all)
  func whatIsPrintedIsRead(sample: Sample) throws {
    let schedule = try sample.schedule()
    #expect(try Schedule.parse(schedule.fileText, path: "sample") == schedule)
    #expect(schedule.fileText.split(separator: "\n").allSatisfy { $0.count <= 110 })
  }

  private static let text = """
    # two ranks
    schedule mine  # a name
    ranks 2
    microbatches 2

    route 0.0 1.0
    rank 1: F0.0 B0.0
      F0.1 B0.1
    rank 0: F0.0 F0.1
    # in between
      B0.0 B0.1

    """

  @Test func commentsBlankLinesAndAnyOrder() throws {
    let schedule = try Schedule.parse(Self.text.replacingOccurrences(of: "\n", with: "\r\n"), path: "mine")
    #expect(schedule.name == "mine" && schedule.microbatches == 2 && schedule.ranks == 2)
    #expect(schedule.lanes[0].map(\.description) == ["F0.0", "F0.1", "B0.0", "B0.1"])
    #expect(schedule.lanes == (try Schedule.oneForwardOneBackward(ranks: 2, microbatches: 2)).lanes)
    try schedule.verify()
  }

  @Test(arguments: [
    ("rank 1: F0.0 B0.0", "rank 1: F0.0 B0,0", "mine:7:14: 'B0,0' is no action"),
    ("  F0.1 B0.1", "  F0.1  Q0.1", "mine:8:9: 'Q0.1' is no action"),
    ("schedule mine", "shedule mine", "mine:2:1: 'shedule' is none of"),
    ("schedule mine", "schedule my own", "mine:2:1: write one name"),
    ("schedule mine", "schedule m\"ne", "mine:2:10: 'm\"ne': a name has letters"),
    ("ranks 2", "ranks two", "mine:3:7: 'two' is no number from 1"),
    ("ranks 2", "ranks 0", "mine:3:7: '0' is no number from 1"),
    ("ranks 2", "ranks 2\nranks 2", "mine:4:1: a second line 'ranks'"),
    ("ranks 2", "ranks 3", "mine:12:1: the file ends without a line 'rank 2: …'"),
    ("route 0.0 1.0", "route 0.0 1", "mine:6:11: '1' is no place"),
    ("route 0.0 1.0", "", "mine:12:1: the file ends without a line 'route"),
    ("microbatches 2", "", "mine:12:1: the file ends without a line 'microbatches M'"),
    ("rank 1:", "rank 2:", "mine:7:6: rank 2 is none of 0 to 1"),
    ("rank 1:", "rank 0:", "mine:9:6: a second line of rank 0"), ("rank 1:", "rank 1", "mine:7:1: write"),
    ("# in between", "ranks 2", "mine:10:1: a second line 'ranks'"),
    ("\nroute 0.0 1.0", "\n  F0.0", "mine:6:3: only a lane"),
    ("route 0.0 1.0", "route 0.0 0.0", "schedule mine: place 0.0 is in the routes twice"),
    ("route 0.0 1.0", "route 0.0 2.0", "schedule mine: place 2.0 is none of ranks 0 to 1"),
  ])
  func faultsAreNamedByLineAndColumn(part: String, replacement: String, words: String) throws {
    #expect(Self.text.contains(part))
    let wrong = Self.text.replacingOccurrences(of: part, with: replacement)
    let error = #expect(throws: ScheduleError.self) { try Schedule.parse(wrong, path: "mine") }
    #expect(description(of: error).hasPrefix(words))
  }

  @Test func filesAreVerifiedAndComparedWithTheNumbers() throws {
    let path = NSTemporaryDirectory() + "/\(UUID().uuidString).schedule"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Self.text.write(toFile: path, atomically: true, encoding: .utf8)
    #expect(try Schedule.named(path, ranks: 2, microbatches: 2).name == "mine")
    for (ranks, microbatches, words) in [(4, 2, "the file has 2 ranks, but 4"), (2, 4, "2 micro-batches")] {
      let error = #expect(throws: ScheduleError.self) {
        try Schedule.named(path, ranks: ranks, microbatches: microbatches)
      }
      #expect(description(of: error).contains(words))
    }
    try Self.text.replacingOccurrences(of: "F0.0 B0.0", with: "B0.0 F0.0")
      .write(toFile: path, atomically: true, encoding: .utf8)
    let error = #expect(throws: ScheduleError.self) { try Schedule.read(path: path) }
    #expect(
      description(of: error)
        == "\(path):7:9: rank 1, index 0 (B0.0): awaits F0.0 of its own rank, which comes later, at index 1")
    // What nobody waits for is named at the end of its lane.
    try Self.text.replacingOccurrences(of: "  B0.0 B0.1\n", with: "")
      .write(toFile: path, atomically: true, encoding: .utf8)
    let short = #expect(throws: ScheduleError.self) { try Schedule.read(path: path) }
    #expect(description(of: short) == "\(path):9:14: rank 0, index 2 (end): I0.0 is missing")
    try Data([0xff, 0xfe, 0xff]).write(to: URL(fileURLWithPath: path))
    let unreadable = #expect(throws: ScheduleError.self) { try Schedule.read(path: path) }
    #expect(description(of: unreadable) == "\(path): is no file of UTF-8 text")
    let missing = #expect(throws: ScheduleError.self) { try Schedule.read(path: "/no/such.schedule") }
    #expect(description(of: missing) == "/no/such.schedule: no such file")
  }
}

struct ScheduleNameTests {
  @Test(arguments: [
    (Sample("dualpipe", 3, 12), "even number; dualpipev, 1f1b"), (Sample("dualpipe", 4, 6), "at least 8,"),
    (Sample("dualpipe", 4, 9), "an even number"), (Sample("dualpipe", 1, 4), "even number"),
    (Sample("dualpipev", 3, 5), "at least 6"), (Sample("1f1b", 0, 4), "0 ranks: there must be at least 1"),
    (Sample("gpipe", 4, -1), "-1 micro-batches"), (Sample("interleaved", 4, 8, 0), "0 virtual stages"),
    (Sample("1f1b", 4, 8, 2), "only interleaved"), (Sample("dualpip", 4, 8), "'dualpip' is no schedule"),
    (Sample("zb1p", 1 << 40, 1 << 40), "take fewer"), (Sample("", 4, 8), "gpipe, 1f1b"),
  ])
  func whatCannotBeMadeIsRefused(sample: Sample, words: String) {
    let error = #expect(throws: ScheduleError.self) { try sample.schedule() }
    #expect(description(of: error).contains(words))
  }
}
