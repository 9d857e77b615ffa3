import Checkpoint
import Testing

/// Ranges of elements as boxes, and who writes them.
struct ShardPlanTests {
  /// The number of each element of a box in the whole tensor, in the order of the box.
  private static func elements(_ box: Box, in shape: [Int]) -> [Int] {
    (0..<box.count).map { number in
      var (rest, place, stride) = (number, 0, 1)
      for dimension in shape.indices.reversed() {
        place += stride * (box.offset[dimension] + rest % box.shape[dimension])
        rest /= box.shape[dimension]
        stride *= shape[dimension]
      }
      return place
    }
  }

  @Test(arguments: [[], [1], [7], [3, 5], [1, 6], [6, 1], [2, 3, 4], [3, 1, 2, 2], [0, 4]])
  func everyRangeIsFewBoxesInOrder(shape: [Int]) {
    let count = shape.reduce(1, *)
    for lower in 0...count {
      for upper in lower...count where upper > lower || count == 0 {
        let boxes = Box.boxes(of: lower..<upper, in: shape)
        #expect(boxes.flatMap { Self.elements($0, in: shape) } == Array(lower..<upper), "\(lower)..<\(upper)")
        #expect(boxes.count <= max(1, 2 * shape.count - 1), "\(lower)..<\(upper): \(boxes)")
      }
    }
  }

  private static let tensors = [
    TensorRecord(name: "b", type: .float32, shape: [6, 5]),
    TensorRecord(name: "a", type: .bfloat16, shape: [40]),
    TensorRecord(name: "c", type: .float32, shape: []),
    TensorRecord(name: "d", type: .float32, shape: [0, 3]),
  ]

  /// Random holdings that leave nothing out: each element is written once, by a rank that holds it.
  @Test func eachElementIsWrittenOnceByAHolder() throws {
    var random = Mutations(state: 8)
    for _ in 0..<300 {
      let ranks = Int.random(in: 1...5, using: &random)
      var holdings: [[ShardPlan.Holding]] = Array(repeating: [], count: ranks)
      for tensor in Self.tensors {
        // One rank, or several, between cuts; then what some hold beside that.
        let cuts = (0..<2).map { _ in Int.random(in: 0...tensor.elementCount, using: &random) }
        let ends = ([0] + cuts + [tensor.elementCount]).sorted()
        for (start, end) in zip(ends, ends.dropFirst()) where start < end || tensor.elementCount == 0 {
          for _ in 0..<Int.random(in: 1...3, using: &random) {
            holdings[Int.random(in: 0..<ranks, using: &random)].append(.init(tensor, start..<end))
          }
        }
      }
      let plan = ShardPlan(holdings)
      #expect(plan.tensors.map(\.name) == ["a", "b", "c", "d"])
      for tensor in Self.tensors {
        var written: [Int] = []
        for (rank, slices) in plan.slices.enumerated() {
          #expect(Set(slices.map(\.record.name)).count == slices.count)
          for slice in slices where slice.name == tensor.name {
            #expect(Self.elements(slice.box, in: tensor.shape) == Array(slice.elements))
            #expect(slice.record.shape == slice.box.shape && slice.record.type == tensor.type)
            written += slice.elements
            for element in slice.elements {
              #expect(holdings[rank].contains { $0.tensor == tensor && $0.elements.contains(element) })
            }
          }
        }
        #expect(written.sorted() == Array(0..<tensor.elementCount), "\(tensor.name)")
      }
    }
  }

  @Test func copiesAreSpreadOverTheirHolders() {
    let tensors = (0..<40).map { TensorRecord(name: "t\(100 + $0)", type: .float32, shape: [3, 4]) }
    let plan = ShardPlan(Array(repeating: tensors.map { ShardPlan.Holding($0) }, count: 4))
    #expect(plan.byteCounts == [480, 480, 480, 480])
    #expect(plan.slices.joined().allSatisfy { $0.record.name == $0.name })
  }

  @Test func keysSayWhichPart() {
    let tensor = TensorRecord(name: "w", type: .float32, shape: [6, 5])
    let plan = ShardPlan([[.init(tensor, 0..<12)], [.init(tensor, 12..<30)]])
    #expect(
      plan.slices.map { $0.map(\.record.name) } == [
        ["w[0:2,0:5]", "w[2:3,0:2]"], ["w[2:3,2:5]", "w[3:6,0:5]"],
      ])
  }
}
