import Communication
import Foundation
import Pipeline
import Testing

@testable import Training

/// `parallel.schedule: FILE`: ranks that read different schedules would wait for each other's messages for ever.
struct DifferentSchedulesTests {
  private let directory = try! ReportingDirectory()

  /// What each of two ranks hears when it begins with its own file, of 8 micro-batches.
  private func errors(_ schedules: [Schedule]) throws -> [CommunicationError?] {
    let configurations = try schedules.enumerated().map { rank, schedule in
      let path = directory.file("\(rank).schedule")
      try schedule.fileText.write(toFile: path, atomically: true, encoding: .utf8)
      return try RankRuns.configuration(["parallel={pipeline: 2, schedule: \(path)}"])
    }
    return try World.loopback(ranks: 2) { world in
      do {
        _ = try Trainer(configurations[world.communicator.rank], resume: .apart, world: world.communicator)
        return nil
      } catch let error as CommunicationError { return error }
    }
  }

  @Test func areRefusedByName() throws {
    let one = try Schedule.gpipe(ranks: 2, microbatches: 8)
    let other = try Schedule.oneForwardOneBackward(ranks: 2, microbatches: 8)
    #expect(try errors([one, one]).allSatisfy { $0 == nil })
    for error in try errors([one, other]) {
      guard case .grid(let faults)? = error else {
        Issue.record("another error: \(String(describing: error))")
        continue
      }
      #expect(faults.count == 1 && faults[0].contains("parallel.schedule: "), "\(faults)")
      #expect(faults[0].contains("on rank 1 (thread-1, check sum "), "\(faults)")
    }
  }
}
