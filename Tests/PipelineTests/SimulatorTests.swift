import Testing

@testable import Pipeline

struct SimulatorTests {
  /// Sizes and times of the published bubbles; B is the whole backward, F + I + W an overlapped pair.
  private static let sizes = [(2, 8), (4, 8), (4, 11), (8, 20), (16, 32)]

  private func bubbles(_ sample: Sample, _ costs: Costs = Costs()) throws -> [Double] {
    try sample.schedule().simulate(costs).bubble
  }

  @Test(arguments: sizes, [(1.0, 1.0, 1.0), (1.0, 2.0, 0.5), (3.0, 1.0, 2.0)])
  func bubblesWithoutSplitAreAsPublished(size: (Int, Int), times: (Double, Double, Double)) throws {
    let costs = Costs(
      forward: .init(times.0), inputGradient: .init(times.1), weightGradient: .init(times.2))
    let expected = Double(size.0 - 1) * (times.0 + times.1 + times.2)
    for name in ["gpipe", "1f1b"] {
      let bubbles = try bubbles(Sample(name, size.0, size.1), costs)
      #expect(bubbles.allSatisfy { $0 == expected }, "\(name): \(bubbles) is not \(expected)")
    }
    let even = size.1 - size.1 % size.0
    let interleaved = try bubbles(Sample("interleaved", size.0, even, 3), costs)
    #expect(interleaved.allSatisfy { $0 == expected }, "\(interleaved) is not \(expected)")
  }

  /// Equal only where F = I = W: elsewhere the formulas are not exact.
  @Test(arguments: sizes, [0.5, 1, 3])
  func bubblesWithSplitAreAsPublished(size: (Int, Int), time: Double) throws {
    let costs = Costs(forward: .init(time), inputGradient: .init(time), weightGradient: .init(time))
    let (ranks, pair, backward) = (size.0, 3 * time, 2 * time)
    let zeroBubble = try bubbles(Sample("zb1p", ranks, size.1), costs)
    let expected = Double(ranks - 1) * (time + backward - 2 * time)
    #expect(zeroBubble.allSatisfy { $0 == expected }, "\(zeroBubble) is not \(expected)")
    for (name, stages) in [("dualpipe", ranks), ("dualpipev", 2 * ranks)] {
      let published = Double(stages / 2 - 1) * (pair + backward - 3 * time)
      let microbatches = max(2 * ranks, size.1 + size.1 % 2)
      let bubbles = try bubbles(Sample(name, ranks, microbatches), costs)
      #expect(bubbles.allSatisfy { $0 == published }, "\(name): \(bubbles) is not \(published)")
    }
  }

  /// The gradient of the input leaves before the weight gradients: only it is on the way back from rank to rank.
  @Test(arguments: sizes)
  func weightGradientsApartShortenTheWayBack(size: (Int, Int)) throws {
    let costs = Costs(forward: 1, inputGradient: 2, weightGradient: 4)
    let apart = try Sample("gpipe", size.0, size.1).schedule().asPlayed(overlapping: true).simulate(costs)
    let (ranks, microbatches) = (Double(size.0), Double(size.1))
    #expect(apart.makespan == (ranks - 1) * (1 + 2) + microbatches * (1 + 2 + 4))
  }

  @Test(arguments: Sample.all)
  func weightGradientsApartAreNoFault(_ sample: Sample) throws {
    let schedule = try sample.schedule()
    let apart = schedule.asPlayed(overlapping: true)
    try apart.verify()
    #expect(try apart.simulate().makespan <= schedule.simulate().makespan)
    #expect(try apart.simulate().busy == schedule.simulate().busy)
  }

  @Test(arguments: [2, 4, 6, 8, 16])
  func activationsAreAsPublished(ranks: Int) throws {
    let microbatches = 2 * ranks + 4
    let peaks = { (name: String) in
      try Sample(name, ranks, microbatches).schedule().simulate().peakActivations
    }
    #expect(try peaks("dualpipe") == Array(repeating: ranks + 1, count: ranks))
    #expect(try peaks("dualpipev") == Array(repeating: 2 * ranks + 1, count: ranks))
    #expect(try peaks("zb1p") == Array(repeating: ranks, count: ranks))
    #expect(try peaks("1f1b") == (1...ranks).reversed())
    #expect(try peaks("gpipe") == Array(repeating: microbatches, count: ranks))
  }

  /// Against the example in the library's own table: 8 ranks, 20 micro-batches, F = I = W = 1.
  @Test func makespansOfAnExample() throws {
    let makespan = { (name: String, pair: PerStage?) in
      try Sample(name, 8, 20).schedule().simulate(Costs(overlapped: pair)).makespan
    }
    #expect(try makespan("1f1b", nil) == 81)
    #expect(try makespan("dualpipe", nil) == 66)
    #expect(try makespan("dualpipe", 3) == 66)
    #expect(try makespan("dualpipe", 2.5) == 59)
    #expect(try makespan("dualpipe", 2) == 52)
  }

  @Test(arguments: Sample.all, [nil, 1, 2, 3])
  func timelinesAreThoseOfASlowMachine(sample: Sample, processors: Int?) throws {
    let schedule = try sample.schedule()
    for seed in 0..<4 {
      let costs = Self.costs(schedule, seed: seed, processors: processors)
      let timeline = try schedule.simulate(costs)
      var machine = SlowMachine(schedule, costs)
      machine.run()
      for rank in 0..<schedule.ranks {
        let starts = zip(timeline.spans[rank], machine.starts[rank]).map { abs($0.start - $1) }
        let ends = zip(timeline.spans[rank], machine.ends[rank]).map { abs($0.end - $1) }
        // Sums of about a hundred costs, each of a few seconds, in another order.
        #expect(starts.count == schedule.lanes[rank].count && starts.allSatisfy { $0 < 1e-9 }, "\(seed)")
        #expect(ends.count == schedule.lanes[rank].count && ends.allSatisfy { $0 < 1e-9 }, "\(seed)")
      }
      #expect(abs(timeline.makespan - machine.time) < 1e-9)
      #expect(timeline.peakActivationBytes == machine.peakBytes)
      try check(timeline)
    }
  }

  /// What holds of every timeline.
  private func check(_ timeline: Timeline) throws {
    for rank in timeline.spans.indices {
      let tail = timeline.makespan - (timeline.spans[rank].last?.end ?? 0)
      let waits = timeline.activationWait[rank] + timeline.gradientWait[rank] + tail
      #expect(abs(timeline.bubble[rank] - waits) < 1e-9)
    }
    let path = timeline.criticalPath
    #expect(abs(path.computing + path.traveling - timeline.makespan) < 1e-9)
    let spans = path.steps.map { timeline.spans[$0.rank][$0.index] }
    #expect(spans.first?.start == 0 && spans.last?.end == timeline.makespan)
    for (before, after) in zip(spans, spans.dropFirst()) { #expect(before.end <= after.start) }
  }

  /// Different for each stage and link. In the first, messages are free; in the second, pairs have a cost.
  private static func costs(_ schedule: Schedule, seed: Int, processors: Int?) -> Costs {
    var state = UInt64(seed) &+ 99
    func number() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return 0.25 + Double(state >> 40) / Double(1 << 24)
    }
    let stages = schedule.placement.stages
    let perStage = { PerStage((0..<stages).map { _ in number() }) }
    var costs = Costs(forward: perStage(), inputGradient: perStage(), weightGradient: perStage())
    // Multiples of 1/4, so that sums are exact in any order.
    costs.activationBytes = PerStage((0..<stages).map { _ in (number() * 4).rounded() / 4 })
    costs.processors = processors
    if seed == 0 { return costs }
    if seed == 1 { costs.overlapped = perStage() }
    costs.messageBytes = 100
    costs.link = Link(latency: number() / 4, bandwidth: 400 * number())
    let slow = Link(latency: number(), bandwidth: 50)
    if schedule.ranks > 1 { costs.links[Link.Ends(from: 0, to: 1)] = slow }
    return costs
  }

  @Test func messagesOnALinkGoOneAfterAnother() throws {
    var costs = Costs()
    costs.messageBytes = 6
    costs.link = Link(latency: 0.5, bandwidth: 2)
    let timeline = try Sample("gpipe", 2, 2).schedule().simulate(costs)
    // Activations leave at 1 and, behind the first, at 4; each takes 3 s, and arrives half a second later.
    #expect(timeline.spans[1].map(\.start) == [4.5, 7.5, 8.5, 10.5])
    // Gradients are ready at 10.5 and 12.5.
    #expect(timeline.spans[0].map(\.start) == [0, 1, 14, 17])
    #expect(timeline.makespan == 19)
    #expect(timeline.activationWait == [0, 6.5] && timeline.gradientWait == [13, 0])
    #expect(
      timeline.criticalPath.steps.map { [$0.rank, $0.index] }
        == [[0, 0], [0, 1], [1, 1], [1, 2], [1, 3], [0, 3]])
    #expect(timeline.criticalPath.traveling == 10)
  }

  @Test func ranksShareProcessorsEvenly() throws {
    var costs = Costs(forward: 3, inputGradient: 1, weightGradient: 1)
    costs.processors = 1
    let timeline = try Sample("gpipe", 2, 2).schedule().simulate(costs)
    // From 3 to 9 both ranks compute, at half their speed.
    #expect(timeline.spans[0].map(\.start) == [0, 3, 14, 18])
    #expect(timeline.spans[1].map(\.start) == [3, 9, 12, 14])
    // One processor that is never idle: all the work, one after the other.
    #expect(timeline.makespan == 2 * 2 * 5)
  }

  @Test func asManyProcessorsAsRanksChangeNoBit() throws {
    for sample in Sample.all {
      let schedule = try sample.schedule()
      var costs = Costs(forward: 0.1, inputGradient: 0.3, weightGradient: 0.7)
      let alone = try schedule.simulate(costs)
      costs.processors = sample.ranks
      #expect(try schedule.simulate(costs) == alone)
    }
  }

  /// The size that `hadal schedule` must manage at once.
  @Test(arguments: [("gpipe", 3045), ("1f1b", 3045), ("zb1p", 3015), ("dualpipe", 3014)])
  func aLongStep(name: String, makespan: Double) throws {
    #expect(try Sample(name, 16, 1000).schedule().simulate().makespan == makespan)
  }

  @Test func actionsThatTakeNoTime() throws {
    let timeline = try Sample("dualpipe", 4, 8).schedule().simulate(
      Costs(forward: 0, inputGradient: 0, weightGradient: 0))
    #expect(timeline.makespan == 0 && timeline.bubbleFraction == 0)
    #expect(timeline.peakActivations.allSatisfy { 1...5 ~= $0 })
  }

  @Test func aWrongScheduleIsNotSimulated() throws {
    var schedule = try Sample("dualpipe", 4, 8).schedule()
    schedule.lanes[2].removeLast()
    #expect(throws: ScheduleError.self) { try schedule.simulate() }
  }

  @Test func costsThatDoNotFitAreRefused() throws {
    let schedule = try Sample("1f1b", 4, 8).schedule()
    let changes: [(String, (inout Costs) -> Void)] = [
      ("forward: 3 values for 4 stages", { $0.forward = PerStage([1, 1, 1]) }),
      ("weight gradient -1.0", { $0.weightGradient = -1 }), ("forward nan", { $0.forward = PerStage(.nan) }),
      ("overlapped pair inf", { $0.overlapped = PerStage(.infinity) }),
      ("bandwidth 0.0", { $0.link.bandwidth = 0 }), ("latency -2.0", { $0.link.latency = -2 }),
      ("bandwidth nan", { $0.links[.init(from: 0, to: 1)] = Link(bandwidth: .nan) }),
      ("from rank 3 to 4", { $0.links[.init(from: 3, to: 4)] = Link() }),
      ("beyond the range", { $0.forward = 1e308 }),
      ("beyond the range", { ($0.messageBytes, $0.link) = (1e300, Link(bandwidth: 1e-300)) }),
      ("message bytes -8.0", { $0.messageBytes = -8 }), ("0 processors", { $0.processors = 0 }),
    ]
    for (words, change) in changes {
      var costs = Costs()
      change(&costs)
      let error = #expect(throws: ScheduleError.self) { try schedule.simulate(costs) }
      #expect(description(of: error).contains(words))
    }
  }
}
