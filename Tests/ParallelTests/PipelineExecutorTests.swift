import Communication
import Pipeline
import Tensors
import Testing

@testable import Autograd
@testable import Parallel

/// Stages that add one to a number on its way forward, and ten to it on its way back, and write down when.
private final class CountingStages: StageWork {
  private let schedule: Schedule
  private let rank: Int
  private let strands: Strands
  private let weights: WeightQueue
  private let device: Device
  private(set) var log: [String] = []
  /// What has come back to where its route begins, by micro-batch.
  private(set) var results: [Int: Float] = [:]
  private var ends: [Cell: Float] = [:]
  private var owed: Set<Cell> = []

  init(_ schedule: Schedule, _ rank: Int, _ strands: Strands, _ weights: WeightQueue) throws {
    (self.schedule, self.rank, self.strands, self.weights) = (schedule, rank, strands, weights)
    device = try Device(threads: 1)
  }

  private func place(_ cell: Cell) -> Place { Place(rank: rank, slot: cell.slot) }

  func room(for _: Cell) -> Tensor { Tensor([1], on: device) }

  func forward(_ cell: Cell, _ input: Tensor?) -> Tensor? {
    log.append("F\(cell)")
    let value = (input?.floats[0] ?? Float(schedule.globalMicrobatch(of: cell, on: rank))) + 1
    strands.handOver()
    log.append("F\(cell) ends")
    guard schedule.placement.place(after: place(cell)) == nil else {
      return Tensor([1], [value], on: device)
    }
    ends[cell] = value
    return nil
  }

  func backward(_ cell: Cell, _ gradient: Tensor?, _ time: WeightTime) -> Tensor? {
    log.append("B\(cell) \(time)")
    let value = (gradient?.floats[0] ?? ends[cell] ?? .nan) + 10
    strands.handOver()
    if time == .later {
      owed.insert(cell)
    } else {
      weights.add(WeightWork(operation: "test") { self.log.append("w\(cell)") })
    }
    guard schedule.placement.place(before: place(cell)) == nil else {
      return Tensor([1], [value], on: device)
    }
    results[schedule.globalMicrobatch(of: cell, on: rank)] = value
    return nil
  }

  func weightGradient(_ cell: Cell) {
    log.append("W\(cell)")
    weights.runAll()
    if owed.remove(cell) != nil { log.append("w\(cell)") }
  }
}

struct PipelineExecutorTests {
  private struct Outcome: Sendable {
    let log: [String]
    let results: [Int: Float]
  }

  private func run(_ schedule: Schedule) throws -> [Outcome] {
    try World.loopback(ranks: schedule.ranks) { world in
      let (strands, weights) = (Strands(), WeightQueue())
      let stages = try CountingStages(schedule, world.communicator.rank, strands, weights)
      let waiter = Waiter(strands, weights)
      _ = PipelineExecutor(schedule, world.communicator, strands: strands, waiter: waiter, stage: stages)
        .run()
      return Outcome(log: stages.log, results: stages.results)
    }
  }

  /// Every micro-batch goes through all stages and back, whatever runs beside what; and whenever weight gradients are
  /// computed, they are in the order of the lane, and those of a micro-batch before a backward begins after its own.
  @Test(arguments: [2, 4, 8])
  func numbersComeBack(ranks: Int) throws {
    let count = 4 * ranks
    for schedule in [
      try Schedule.dualPipe(ranks: ranks, microbatches: count),
      try .dualPipeV(ranks: ranks, microbatches: count),
      try .oneForwardOneBackward(ranks: ranks, microbatches: count),
      try .zeroBubble(ranks: ranks, microbatches: count),
      try .interleaved(ranks: ranks, microbatches: count, virtualStages: 2),
    ] {
      let outcomes = try run(schedule)
      let results = outcomes.reduce(into: [:]) { $0.merge($1.results) { $0 + $1 } }
      let added = Float(11 * schedule.placement.stages)
      let expected = Dictionary(uniqueKeysWithValues: (0..<count).map { ($0, Float($0) + added) })
      #expect(results == expected, "\(schedule.name)")
      for (lane, outcome) in zip(schedule.lanes, outcomes) {
        let order = outcome.log.filter { $0.hasPrefix("w") }
        #expect(order == lane.compactMap { $0.weightCell.map { "w\($0)" } }, "\(schedule.name)")
        var left = 0
        for line in outcome.log {
          if line.hasPrefix("w") { left -= 1 }
          guard line.hasPrefix("B"), !line.hasSuffix(" later") else { continue }
          #expect(left == 0, "\(schedule.name): \(line) while others' weight gradients are left")
          left += 1
        }
      }
    }
  }

  /// What begins a route runs beside the forward before it, which goes on from another rank's; weight gradients that
  /// follow their input gradient may be computed while that waits, others may not.
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
    let last = ["B1.3 whileWaiting", "w1.3", "B0.3 whileWaitingOrLater", "W0.3", "w0.3"]
    #expect(Array(log.suffix(5)) == last)
    // Between the input gradient and the weight gradients of a micro-batch there is another one's.
    let four = try run(.dualPipe(ranks: 4, microbatches: 16))[1].log
    #expect(Array(four.suffix(6)) == ["B1.7 later", "B0.7 later", "W1.7", "w1.7", "W0.7", "w0.7"])
  }

  /// What is left of a backward is computed within the pair that follows: its forward part begins before, its backward
  /// part after.
  @Test func leftWeightGradientsFillAPair() throws {
    let log = try run(.dualPipe(ranks: 2, microbatches: 8))[0].log
    let first = try #require(log.firstIndex(of: "F1.1"))
    let left = try #require(log.firstIndex(of: "w1.0"))
    let next = try #require(log.firstIndex(of: "B0.0 whileWaiting"))
    // Unless the activation that F1.1 begins with was waited for.
    #expect(left < next && (left > first || left == first - 1))
  }

  /// Of a pair the part begins that needs no other rank: at the end of a route the backward, else the forward.
  @Test func whoBeginsAPair() throws {
    let log = try run(.dualPipe(ranks: 2, microbatches: 8))[0].log
    func place(_ line: String) throws -> Int { try #require(log.firstIndex(of: line), "\(line)") }
    #expect(try place("F1.1") < place("B0.0 whileWaiting"))
    #expect(try place("B1.1 whileWaiting") + 1 == place("F0.2"))
    #expect(try place("F0.2") < place("F0.2 ends"))
  }

  /// To a simulation two forwards at once are two of half the time, and no wait of a second strand is a cost.
  @Test func costsOfTwoStrands() {
    let begin = ContinuousClock.now
    var record = LaneRecord(begin: begin)
    record.add(
      .init(
        action: .forward(Cell(slot: 1, microbatch: 0)), beside: Cell(slot: 0, microbatch: 1),
        waited: begin..<begin, end: begin + .seconds(9), exposed: 3, awaited: 1))
    record.add(
      .init(
        action: .overlapped(forward: Cell(slot: 0, microbatch: 2), backward: Cell(slot: 1, microbatch: 1)),
        beside: nil, waited: begin + .seconds(9)..<begin + .seconds(10), end: begin + .seconds(20),
        exposed: 4,
        awaited: 2))
    #expect(record.busy == 6 + 6 && record.events.map(\.name) == ["F1.0&F0.1", "F0.2&B1.1"])
    // Stages in turn; of each the sum and the number of forwards, backwards, I, W and pairs.
    let costs = MeasuredCosts(record, on: 0, in: .bidirectional(ranks: 2))
    #expect(costs.sums == [4, 1, 0, 0, 0, 0, 0, 0, 8, 1] + [4, 1, 0, 0, 0, 0, 0, 0, 0, 0])
  }
}
