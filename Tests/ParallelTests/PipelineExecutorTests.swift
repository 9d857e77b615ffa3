import Communication
import Pipeline
import Tensors
import Testing

@testable import Parallel

/// Stages that add one to a number on its way forward, and ten to it on its way back, and write down when.
private final class CountingStages: StageWork {
  private let schedule: Schedule
  private let rank: Int
  private let strands: Strands
  private let device: Device
  private(set) var log: [String] = []
  /// What has come back to where its route begins, by micro-batch.
  private(set) var results: [Int: Float] = [:]
  private var ends: [Cell: Float] = [:]

  init(_ schedule: Schedule, _ rank: Int, _ strands: Strands) throws {
    (self.schedule, self.rank, self.strands) = (schedule, rank, strands)
    device = try Device(threads: 1)
  }

  private func place(_ cell: Cell) -> Place { Place(rank: rank, slot: cell.slot) }

  func room(for _: Cell) -> Tensor { Tensor([1], on: device) }

  func forward(_ cell: Cell, _ input: Tensor?) -> Tensor? {
    log.append("F\(cell)")
    let value = (input?.floats[0] ?? Float(schedule.globalMicrobatch(of: cell, on: rank))) + 1
    strands.handOver()
    log.append("F\(cell) ends")
    guard schedule.placement.place(after: place(cell)) == nil else { return Tensor([1], [value], on: device) }
    ends[cell] = value
    return nil
  }

  func backward(_ cell: Cell, _ gradient: Tensor?, _ weights: WeightTime) -> Tensor? {
    log.append("B\(cell) \(weights)")
    let value = (gradient?.floats[0] ?? ends[cell] ?? .nan) + 10
    strands.handOver()
    guard schedule.placement.place(before: place(cell)) == nil else {
      return Tensor([1], [value], on: device)
    }
    results[schedule.globalMicrobatch(of: cell, on: rank)] = value
    return nil
  }

  func weightGradient(_ cell: Cell) { log.append("W\(cell)") }
}

struct PipelineExecutorTests {
  private struct Outcome: Sendable {
    let log: [String]
    let results: [Int: Float]
  }

  private func run(_ schedule: Schedule) throws -> [Outcome] {
    try World.loopback(ranks: schedule.ranks) { world in
      let strands = Strands()
      let stages = try CountingStages(schedule, world.communicator.rank, strands)
      let waiter = Waiter(strands)
      _ = PipelineExecutor(schedule, world.communicator, strands: strands, waiter: waiter, stage: stages)
        .run()
      return Outcome(log: stages.log, results: stages.results)
    }
  }

  /// Every micro-batch goes through all stages and back, whatever runs beside what.
  @Test(arguments: [2, 4, 8])
  func numbersComeBack(ranks: Int) throws {
    let (up, down) = (Float(ranks), Float(10 * ranks))
    for outcomes in [
      try run(.dualPipe(ranks: ranks, microbatches: 4 * ranks)),
      try run(.oneForwardOneBackward(ranks: ranks, microbatches: 4 * ranks)),
    ] {
      let results = outcomes.reduce(into: [:]) { $0.merge($1.results) { $0 + $1 } }
      #expect(
        results == Dictionary(uniqueKeysWithValues: (0..<4 * ranks).map { ($0, Float($0) + up + down) }))
    }
  }

  /// What begins a route runs beside the forward before it, which waits for another rank; weight gradients that follow
  /// their input gradient may be computed while that waits, others may not.
  @Test func forwardsRunBesideEachOther() throws {
    let schedule = try Schedule.dualPipe(ranks: 2, microbatches: 8)
    let lane = schedule.lanes[0].map(String.init(describing:))
    #expect(Array(lane.prefix(4)) == ["F0.0", "F1.0", "F0.1", "B1.0"])
    #expect(Array(lane.suffix(3)) == ["B1.3", "I0.3", "W0.3"])
    let log = try run(schedule)[0].log
    #expect(
      Array(log.prefix(7)) == [
        "F0.0", "F0.0 ends", "F0.1", "F1.0", "F0.1 ends", "F1.0 ends", "B1.0 whileWaiting",
      ])
    #expect(Array(log.suffix(3)) == ["B1.3 whileWaiting", "B0.3 whileWaitingOrLater", "W0.3"])
    // Between the input gradient and the weight gradients of a micro-batch there is another one's.
    let four = try run(.dualPipe(ranks: 4, microbatches: 16))[1].log
    #expect(Array(four.suffix(4)) == ["B1.7 later", "B0.7 later", "W1.7", "W0.7"])
  }
}
