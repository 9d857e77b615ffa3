import Communication
import Foundation
import Testing

@testable import Training

extension WholeRuns {
  /// `trace.json`: what each rank computed, waited for and sent in the steps that are asked for.
  struct TraceTests {
    private struct Event: Decodable {
      let name: String
      let ph: String
      let pid: Int
      let tid: Int?
      let ts, dur: Double?
      let args: [String: Value]
      enum Value: Decodable {
        case number(Int), text(String)
        init(from decoder: any Decoder) throws {
          let container = try decoder.singleValueContainer()
          let number = try? container.decode(Int.self)
          self = try number.map(Value.number) ?? .text(container.decode(String.self))
        }
        var number: Int? { if case .number(let number) = self { number } else { nil } }
      }
    }
    private struct File: Decodable { let traceEvents: [Event] }

    @Test func everyRankIsInIt() throws {
      let directory = try ReportingDirectory()
      let configuration = try RankRuns.configuration([
        "parallel={pipeline: 2, data: 2, expert: 2, schedule: dualpipe}", "logging.trace=2-3",
        "run.directory=\(directory.path)", "training.steps=4", "logging.every=100",
      ])
      try FileManager.default.createDirectory(
        atPath: configuration.runDirectory, withIntermediateDirectories: true)
      _ = try World.loopback(ranks: 4) { world in
        let trainer = try Trainer(configuration, resume: .apart, world: world.communicator)
        return try trainer.run(nil, stop: StopSignal()).state.step
      }
      let bytes = try Data(contentsOf: URL(fileURLWithPath: configuration.runDirectory + "/trace.json"))
      let events = try JSONDecoder().decode(File.self, from: bytes).traceEvents
      let spans = events.filter { $0.ph == "X" }
      #expect(Set(spans.compactMap { $0.args["step"]?.number }) == [2, 3])
      for rank in 0..<4 {
        let own = spans.filter { $0.pid == rank }
        for step in [2, 3] {
          // Four micro-batches of each data rank, two from each end: the order of the oracle for 2 x 4. Two forwards,
          // of which one waits for the other rank, are two strands.
          let names = own.filter { $0.tid == 0 && $0.args["step"]?.number == step }.map(\.name)
          // Weight gradients that a backward pass left for its waits follow it; how many times is up to chance.
          for (before, name) in zip(names, names.dropFirst()) where name.hasPrefix("W of ") {
            #expect(before == name || "W of \(before)" == name)
          }
          let computed = names.filter { !$0.hasPrefix("W of ") }
          let slots = rank < 2 ? (0, 1) : (1, 0)
          let (a, b) = slots
          #expect(
            computed == [
              "F\(a).0", "F\(b).0&F\(a).1", "B\(b).0", "F\(b).1&B\(a).0", "B\(b).1", "I\(a).1", "W\(a).1",
              "update",
            ])
        }
        let sent = own.filter { $0.tid == 2 && ($0.args["bytes"]?.number ?? 0) > 0 }
        #expect(sent.contains { $0.name.hasPrefix("activation for stage") })
        #expect(sent.contains { $0.name.hasPrefix("dispatch, layer") })
        #expect(own.allSatisfy { ($0.dur ?? -1) >= 0 && ($0.ts ?? -1) >= 0 })
      }
    }
  }
}
