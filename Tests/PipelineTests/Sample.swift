import Testing

@testable import Pipeline

/// A schedule by name and size, as an argument of tests.
struct Sample: Sendable, CustomTestStringConvertible {
  let name: String
  let ranks, microbatches: Int
  var virtualStages: Int?

  init(_ name: String, _ ranks: Int, _ microbatches: Int, _ virtualStages: Int? = nil) {
    (self.name, self.ranks, self.microbatches) = (name, ranks, microbatches)
    self.virtualStages = virtualStages
  }

  var testDescription: String {
    "\(name) \(ranks)x\(microbatches)\(virtualStages.map { "x\($0)" } ?? "")"
  }

  func schedule() throws(ScheduleError) -> Schedule {
    try .named(name, ranks: ranks, microbatches: microbatches, virtualStages: virtualStages)
  }

  /// Every kind, small.
  static let all = [
    Sample("gpipe", 3, 4), Sample("1f1b", 4, 6), Sample("1f1b", 5, 2), Sample("interleaved", 3, 7),
    Sample("interleaved", 2, 4, 3), Sample("interleaved", 4, 3), Sample("zb1p", 4, 6), Sample("zb1p", 1, 3),
    Sample("dualpipe", 2, 4), Sample("dualpipe", 4, 10), Sample("dualpipev", 1, 3), Sample("dualpipev", 3, 7),
  ]
}

/// What an error says; for one that was not thrown, no more than that.
func description(of error: ScheduleError?) -> String { error?.description ?? "no error" }
