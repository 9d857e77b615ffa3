import Foundation
import Tensors
import Testing

/// The router's kernels on every level. (Their gradients are checked with the operation.)
struct RouteTests {
  private func settings(
    experts: Int, selected: Int, groups: (Int, Int) = (1, 1), _ score: RouterSettings.GroupScore = .topTwoSum,
    softmax: Bool = false, normalize: Bool = true
  ) -> RouterSettings {
    RouterSettings(
      experts: experts, selected: selected, groups: groups.0, keptGroups: groups.1, groupScore: score,
      softmax: softmax, normalize: normalize, scale: 2.5)
  }

  private func indices(_ selection: RouterSelection) -> [[Int]] {
    let (index, k) = (selection.indices.elements(Int32.self), selection.indices.columns)
    return (0..<selection.indices.rows).map { t in (0..<k).map { Int(index[t * k + $0]) } }
  }

  @Test(arguments: Device.supportedLevels(), [false, true])
  func selectionAndWeights(level: String, softmax: Bool) throws {
    let (device, tokens, experts) = (try Device(threads: 2, level: level), 61, 21)
    let settings = settings(experts: experts, selected: 4, groups: (7, 3), softmax: softmax)
    let logits = Sample([tokens, experts], .float32, "logits", scale: 2)
    let bias = Sample([experts], .float32, "bias", scale: softmax ? 0.05 : 0.3)
    let found = route(logits: logits.tensor(on: device), bias: bias.tensor(on: device), settings)
    var (scores, weights, chosen) = ([Double](), [Double](), [[Int]]())
    for t in 0..<tokens {
      let row = logits.doubles[t * experts..<(t + 1) * experts]
      let sum = row.reduce(0) { $0 + exp($1) }
      let s = row.map { softmax ? exp($0) / sum : 1 / (1 + exp(-$0)) }
      let z = zip(s, bias.doubles).map { $0 + $1 }
      let groupScores = (0..<7).map { g in z[g * 3..<g * 3 + 3].sorted().suffix(2).reduce(0, +) }
      let kept = Set((0..<7).sorted { groupScores[$0] > groupScores[$1] }.prefix(3))
      let best = (0..<experts).filter { kept.contains($0 / 3) }.sorted { z[$0] > z[$1] }.prefix(4)
      let total = best.reduce(0) { $0 + s[$1] }
      scores += s
      chosen.append(Array(best))
      weights += best.map { 2.5 * s[$0] / total }
    }
    #expect(indices(found) == chosen)
    #expect(firstDifference(found.scores, scores, roundings: experts + 6) == nil, "scores")
    #expect(firstDifference(found.weights, weights, roundings: experts + 12) == nil, "weights")
  }

  /// Softmax of (0, x) is exp(x) / (1 + exp(x)) for every x of exp's range: relative error of exp (2e-7) and
  /// four roundings (2⁻²⁴ each).
  @Test(arguments: Device.supportedLevels())
  func softmaxIsAccurateFarDown(level: String) throws {
    let (device, rows) = (try Device(threads: 2, level: level), 5001)
    let x = (0..<rows).map { -87 * Float($0) / Float(rows - 1) }
    let logits = Tensor([rows, 2], x.flatMap { [0, $0] as [Float] }, on: device)
    let found = route(
      logits: logits, bias: Tensor.zeros([2], on: device), settings(experts: 2, selected: 1, softmax: true))
    for (i, x) in x.enumerated() {
      let expected = exp(Double(x)) / (1 + exp(Double(x)))
      let score = Double(found.scores.floats[2 * i + 1])
      let isRight = abs(score - expected) <= (2e-7 + 4 * 0x1p-24) * expected
      guard isRight else { return #expect(isRight, "softmax(0, \(x)) has \(score), not \(expected)") }
    }
  }

  @Test(arguments: Device.supportedLevels())
  func tiesGoToTheLowerExpert(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let rows: [Float] = [1, 1, 1, 1, 1, 1] + [0, 2, 0, 2, 2, 0] + [2, 0, 0, 0, 0, 2]
    let logits = Tensor([3, 6], rows, on: device)
    let bias = Tensor.zeros([6], on: device)
    let all = route(logits: logits, bias: bias, settings(experts: 6, selected: 3))
    #expect(indices(all) == [[0, 1, 2], [1, 3, 4], [0, 5, 1]])
    let groups = route(logits: logits, bias: bias, settings(experts: 6, selected: 2, groups: (3, 1)))
    #expect(indices(groups) == [[0, 1], [1, 0], [0, 1]])
  }

  /// A diverged run still selects distinct experts (their rows would collide else), a NaN last; its weights
  /// show it.
  @Test(arguments: Device.supportedLevels(), [false, true])
  func notANumberIsSafe(level: String, softmax: Bool) throws {
    let device = try Device(threads: 2, level: level)
    let some: [Float] = [.nan, 1, .nan, .nan, 3, .nan]
    let logits = Tensor([3, 6], [Float](repeating: .nan, count: 6) + some + [6, 5, 4, 3, 2, 1], on: device)
    for groups in [(1, 1), (3, 2), (2, 1)] {
      for score in [RouterSettings.GroupScore.topTwoSum, .maximum] {
        let settings = settings(experts: 6, selected: 3, groups: groups, score, softmax: softmax)
        let found = route(logits: logits, bias: Tensor.zeros([6], on: device), settings)
        for chosen in indices(found) {
          #expect(
            Set(chosen).count == 3 && chosen.allSatisfy { (0..<6).contains($0) }, "\(groups): \(chosen)")
        }
        #expect(indices(found)[2] == [0, 1, 2])
        #expect(found.weights.numbers[..<3].allSatisfy { $0.isNaN })
        #expect(found.weights.numbers[6...].allSatisfy { $0.isFinite })
        #expect(routerStatistics(found, sequences: 3, settings)[2].rawCounts == [1, 1, 1, 0, 0, 0])
        if !softmax, groups == (1, 1) { #expect(indices(found)[1][..<2] == [4, 1]) }
      }
    }
  }

  /// Shares add up to the number of tokens, counts to K each; of each sequence its own.
  @Test(arguments: Device.supportedLevels())
  func statistics(level: String) throws {
    let (device, experts) = (try Device(threads: 2, level: level), 5)
    let settings = settings(experts: experts, selected: 2)
    let logits = Sample([3 * 7, experts], .float32, "statistics")
    // A bias that changes every selection: raw counts must not see it.
    let bias = Tensor([experts], [-9, -9, 9, 9, 0] as [Float], on: device)
    let found = route(logits: logits.tensor(on: device), bias: bias, settings)
    for (b, statistics) in routerStatistics(found, sequences: 3, settings).enumerated() {
      var (shares, counts) = ([Double](repeating: 0, count: experts), [Int64](repeating: 0, count: experts))
      for t in b * 7..<(b + 1) * 7 {
        let s = (0..<experts).map { 1 / (1 + exp(-logits[t * experts + $0])) }
        let total = s.reduce(0, +)
        for i in 0..<experts { shares[i] += s[i] / total }
        for i in (0..<experts).sorted(by: { s[$0] > s[$1] }).prefix(2) { counts[i] += 1 }
      }
      #expect(statistics.rawCounts == counts)
      #expect(zip(statistics.shares, shares).allSatisfy { abs($0 - $1) <= 7 * 8 * 0x1p-24 })
    }
  }

  @Test func sortedByExpert() throws {
    let device = try Device(threads: 1)
    let logits = Tensor([1, 4], [0, 3, 1, 2] as [Float], on: device)
    let found = route(logits: logits, bias: Tensor.zeros([4], on: device), settings(experts: 4, selected: 3))
    #expect(indices(found) == [[1, 3, 2]])
    let sorted = found.sortedByExpert()
    let w = found.weights.numbers
    #expect(sorted.indices == [1, 2, 3] && sorted.weights == [w[0], w[2], w[1]])
  }

  /// Rows by expert, in the order of the tokens; experts without a row; and the way back.
  @Test(arguments: Device.supportedLevels())
  func plan(level: String) throws {
    let device = try Device(threads: 2, level: level)
    let (tokens, selected, experts) = (50, 3, 9)
    let chosen = (0..<tokens).flatMap { (t: Int) -> [Int32] in [Int32(t % 4), Int32(4 + t * t % 2), 7] }
    let plan = RoutingPlan(Tensor([tokens, selected], chosen, on: device), experts: experts)
    let slots = (0..<experts).flatMap { (e: Int) -> [Int] in chosen.indices.filter { Int(chosen[$0]) == e } }
    #expect(plan.slots.elements(Int32.self).map(Int.init) == slots)
    #expect(plan.tokens.elements(Int32.self).map(Int.init) == slots.map { $0 / selected })
    #expect(plan.counts == (0..<experts).map { (e: Int) -> Int in chosen.count { Int($0) == e } })
    #expect(plan.offsets.first == 0 && plan.offsets.last == tokens * selected)
    let positions = plan.positions.elements(Int32.self)
    #expect(slots.enumerated().allSatisfy { positions[$0.element] == $0.offset })
  }

  /// How many of a range of tokens chose each expert, and reached each device at least once.
  @Test(arguments: Device.supportedLevels())
  func countsOfExpertsAndDevices(level: String) throws {
    let device = try Device(threads: 1, level: level)
    let indices: [Int32] = [0, 1, 0, 5, 3, 2, 4, 0]
    let selection = RouterSelection(
      scores: Tensor([4, 6], on: device), indices: Tensor([4, 2], indices, on: device),
      weights: Tensor([4, 2], on: device))
    let all = selection.counts(tokens: 0..<4, experts: 6, devices: 3)
    #expect(all.experts == [3, 1, 1, 1, 1, 1] && all.devices == [3, 1, 2])
    let part = selection.counts(tokens: 1..<3, experts: 6, devices: 3)
    #expect(part.experts == [1, 0, 1, 1, 0, 1] && part.devices == [1, 1, 1])
  }
}
