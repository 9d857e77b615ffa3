import Checkpoint
import Testing

@Suite struct BoxTests {
  /// How often each element of `shape` is covered, element by element.
  private func counts(_ shape: [Int], _ boxes: [Box]) -> [Int] {
    (0..<shape.reduce(1, *)).map { element in
      var (rest, index) = (element, shape)
      for dimension in shape.indices.reversed() {
        index[dimension] = rest % shape[dimension]
        rest /= shape[dimension]
      }
      return boxes.count { box in
        shape.indices.allSatisfy { box.offset[$0] <= index[$0] && index[$0] < box.offset[$0] + box.shape[$0] }
      }
    }
  }

  /// Divides a box along random planes.
  private func partition(_ box: Box, _ pieces: Int, _ random: inout Mutations) -> [Box] {
    var boxes = [box]
    for _ in 1..<pieces {
      let victim = Int.random(in: 0..<boxes.count, using: &random)
      guard
        let dimension = boxes[victim].shape.indices.filter({ boxes[victim].shape[$0] > 1 })
          .randomElement(using: &random)
      else { continue }
      var (low, high) = (boxes[victim], boxes[victim])
      let cut = Int.random(in: 1..<low.shape[dimension], using: &random)
      low.shape[dimension] = cut
      high.offset[dimension] += cut
      high.shape[dimension] -= cut
      boxes[victim] = low
      boxes.append(high)
    }
    return boxes.shuffled(using: &random)
  }

  @Test func partitionsCoverEverythingOnce() {
    var random = Mutations(state: 1)
    for shape in [[], [1], [17], [6, 9], [4, 5, 6], [2, 3, 2, 5]] {
      for pieces in 1...20 {
        let boxes = partition(Box(shape), pieces, &random)
        #expect(coverFault(of: Box(shape), by: boxes) == nil, "\(boxes)")
      }
    }
  }

  /// Against counting element by element, with boxes that are moved, stretched, doubled or dropped.
  @Test func agreesWithCounting() {
    var random = Mutations(state: 2)
    var faults = 0
    for round in 0..<3000 {
      let shape = [[7], [5, 4], [3, 4, 3]][round % 3]
      var boxes = partition(Box(shape), Int.random(in: 1...8, using: &random), &random)
      let victim = Int.random(in: 0..<boxes.count, using: &random)
      let dimension = Int.random(in: 0..<shape.count, using: &random)
      switch Int.random(in: 0..<5, using: &random) {
      case 0: boxes.remove(at: victim)
      case 1: boxes.append(boxes[victim])
      case 2: boxes[victim].offset[dimension] = Int.random(in: 0..<shape[dimension], using: &random)
      case 3: boxes[victim].shape[dimension] = Int.random(in: 1...shape[dimension], using: &random)
      default: break
      }
      let expected = counts(shape, boxes)
      let fault = coverFault(of: Box(shape), by: boxes)
      #expect((fault == nil) == expected.allSatisfy { $0 == 1 }, "\(shape) \(boxes)")
      guard let fault else { continue }
      faults += 1
      // The region that it names is really covered so often.
      let inside = counts(shape, [fault.region])
      #expect(fault.times != 1)
      #expect(zip(expected, inside).allSatisfy { $1 == 0 || $0 == fault.times }, "\(fault) \(boxes)")
    }
    #expect(faults > 1000, "\(faults)")
  }

  @Test func manyPiledBoxesAreRefusedQuickly() {
    let shape = [1 << 20, 1 << 20]
    let piled = (0..<20_000).map { Box(offset: [$0, 0], shape: [1 << 19, 1 << 20]) }
    let clock = ContinuousClock()
    let time = clock.measure { #expect(coverFault(of: Box(shape), by: piled) != nil) }
    #expect(time < .seconds(10), "\(time)")
    // Sizes whose sum leaves 64 bits.
    let huge = Box([1 << 62])
    #expect(coverFault(of: huge, by: [huge, huge])?.times == 2)
  }

  @Test func gridsOfARealJobAreQuick() {
    // One matrix over 64 × 64 ranks.
    let grid = (0..<4096).map { Box(offset: [$0 / 64 * 128, $0 % 64 * 64], shape: [128, 64]) }
    let clock = ContinuousClock()
    let time = clock.measure { #expect(coverFault(of: Box([8192, 4096]), by: grid) == nil) }
    #expect(time < .seconds(10), "\(time)")
    let fault = coverFault(of: Box([8192, 4096]), by: Array(grid.dropLast()))
    #expect(fault?.region == grid[4095] && fault?.times == 0)
  }
}
