import Foundation
import OracleSupport
import Testing

@testable import Pipeline

struct DualPipeOrderTests {
  @Test func ordersAreThoseOfThePublishedLibrary() throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: "\(oracleDirectory)/schedules/dualpipe.json"))
    let orders = try JSONDecoder().decode([String: [String: [[String]]]].self, from: data)
    #expect(orders.values.map(\.count) == [5, 5])
    for (name, sizes) in orders {
      for (size, lanes) in sizes {
        let numbers = size.split(separator: "x").compactMap { Int($0) }
        let schedule = try Schedule.named(name, ranks: numbers[0], microbatches: numbers[1])
        #expect(schedule.lanes.map { $0.map(\.description) } == lanes, "\(name) \(size)")
      }
    }
  }

  @Test(arguments: [2, 4, 6, 8, 10, 12, 14, 16])
  func dualPipeDoesTheEightSteps(ranks: Int) throws {
    for microbatches in stride(from: 2 * ranks, through: 4 * ranks + 6, by: 2) {
      let schedule = try Schedule.dualPipe(ranks: ranks, microbatches: microbatches)
      for rank in 0..<ranks {
        var steps = EightSteps(flips: rank >= ranks / 2)
        steps.run(
          edge: min(rank, ranks - 1 - rank), half: ranks / 2, microbatches: microbatches / 2, stages: ranks)
        #expect(
          schedule.lanes[rank].map(\.description) == steps.tokens, "rank \(rank), \(microbatches)")
      }
    }
  }

  @Test(arguments: 1...9)
  func dualPipeVDoesTheEightSteps(ranks: Int) throws {
    for microbatches in 2 * ranks...4 * ranks + 6 {
      let schedule = try Schedule.dualPipeV(ranks: ranks, microbatches: microbatches)
      for rank in 0..<ranks {
        var steps = EightSteps(flips: false)
        steps.run(edge: rank, half: ranks, microbatches: microbatches, stages: 2 * ranks)
        #expect(
          schedule.lanes[rank].map(\.description) == steps.tokens, "rank \(rank), \(microbatches)")
      }
    }
  }
}

/// A rank of the published library as it is described: local labels, counters, a queue of weight gradients.
private struct EightSteps {
  let flips: Bool
  var tokens: [String] = []
  private var forwards = [0, 0]
  private var backwards = [0, 0]
  private var deferred: [String] = []

  init(flips: Bool) { self.flips = flips }

  mutating func run(edge: Int, half: Int, microbatches: Int, stages: Int) {
    let center = half - edge - 1
    let isMiddle = edge == half - 1
    for _ in 0..<2 * center { forward(0) }  // 1
    for _ in 0...edge {  // 2
      forward(0)
      forward(1)
    }
    for _ in 0..<center {  // 3
      backward(1, split: true)
      weights()
      forward(1)
    }
    for i in 0..<microbatches - stages + edge + 1 {  // 4
      if i == 0, isMiddle {
        forward(0)
        backward(1, split: false)
      } else {
        pair(0, 1)
      }
      pair(1, 0)
    }
    for _ in 0..<center {  // 5
      backward(1, split: false)
      pair(1, 0)
    }
    var split = false
    for i in 0...edge {  // 6
      if i == (edge + 1) / 2, edge % 2 == 1 { split = true }
      backward(1, split: split)
      if i == (edge + 1) / 2, edge % 2 == 0 { split = true }
      backward(0, split: split)
    }
    for _ in 0..<center {  // 7
      weights()
      backward(0, split: true)
    }
    for _ in 0...edge { weights() }  // 8
    precondition(deferred.isEmpty, "\(deferred) are left")
  }

  private func slot(_ label: Int) -> Int { flips ? 1 - label : label }

  private mutating func forward(_ label: Int) { tokens.append("F" + numberForward(label)) }

  private mutating func backward(_ label: Int, split: Bool) {
    let cell = numberBackward(label)
    if split { deferred.append(cell) }
    tokens.append((split ? "I" : "B") + cell)
  }

  private mutating func pair(_ forward: Int, _ backward: Int) {
    tokens.append("F\(numberForward(forward))&B\(numberBackward(backward))")
  }

  private mutating func weights() { tokens.append("W" + deferred.removeFirst()) }

  private mutating func numberForward(_ label: Int) -> String {
    defer { forwards[slot(label)] += 1 }
    return "\(slot(label)).\(forwards[slot(label)])"
  }

  private mutating func numberBackward(_ label: Int) -> String {
    defer { backwards[slot(label)] += 1 }
    return "\(slot(label)).\(backwards[slot(label)])"
  }
}
