import Autograd
import Foundation
import Numerics
import Tensors
import Testing

/// Every operation against its formula in Double, forward and backward, on every instruction-set level.
struct GradientTests {
  @Test func everyOperationHasACase() {
    let covered = Set(OperationCase.all.map(\.operation)).union(QuantizedOperationTests.operations)
      .union(ExchangeOperationTests.operations)
    for operation in allOperations {
      #expect(covered.contains(operation.name), "\(operation) has no case in OperationCase.all")
    }
    #expect(Set(allOperations.map { $0.name }).count == allOperations.count, "two operations share a name")
    #expect(Set(OperationCase.all.map(\.title)).count == OperationCase.all.count, "two cases share a title")
  }

  /// An operation that is not in the list would escape the test above.
  @Test func everyOperationFileIsListed() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let files = try FileManager.default.contentsOfDirectory(
      at: root.appending(path: "Sources/Autograd/Operations"), includingPropertiesForKeys: nil)
    let names = files.filter { $0.pathExtension == "swift" }.map {
      $0.deletingPathExtension().lastPathComponent
    }
    #expect(names.sorted() == allOperations.map { String(describing: $0) }.sorted())
  }

  @Test(arguments: OperationCase.all.map(\.title))
  func forward(_ title: String) throws {
    let operation = OperationCase.named(title)
    let (expected, extra) = (
      operation.reference(operation.numbers), operation.extraReference(operation.numbers)
    )
    let tolerance = float32Tolerance(roundings: operation.roundings, expected)
    let extraTolerance = float32Tolerance(roundings: operation.roundings, [extra])
    for level in Device.supportedLevels() {
      let found = try operation.run(on: Device(threads: 2, level: level))
      #expect(firstDifference(found.output, expected, within: tolerance) == nil, "\(level)")
      #expect(
        firstDifference([Float(found.extra)], [extra], within: extraTolerance) == nil,
        "balance loss, \(level)")
    }
  }

  /// All elements of a small leaf, 24 of a large one.
  @Test(arguments: OperationCase.all.map(\.title))
  func gradient(_ title: String) throws {
    let operation = OperationCase.named(title)
    let runs = try Device.supportedLevels().map { level in
      (level, try operation.run(on: Device(threads: 2, level: level)))
    }
    let upstream = operation.upstream(count: runs[0].1.output.count)
    for (i, leaf) in operation.leaves.enumerated() {
      let places = Self.places(in: leaf)
      let expected = places.map { operation.slope(leaf, $0, upstream) }
      // The second term is the error of the central difference itself.
      let tolerance = float32Tolerance(roundings: operation.roundings, expected) + 1e-9
      for (level, found) in runs {
        #expect(
          firstDifference(found.gradients[i], expected, within: tolerance, at: places) == nil,
          "gradient of \(leaf.name), \(level)")
      }
    }
  }

  private static func places(in leaf: Leaf) -> [Int] {
    let (count, philox) = (leaf.values.count, Philox(seed: 5, name: leaf.name))
    guard count > 64 else { return Array(0..<count) }
    return (0..<24).map { Int(philox.uniform($0) * Double(count)) }
  }

  /// bfloat16 against float32, from the same numbers. A result passes a few roundings to 8 significant bits
  /// (half a unit is 2⁻⁸ of the value), on different terms of a sum: three of them in the same direction are
  /// allowed.
  @Test(arguments: OperationCase.all.map(\.title))
  func bfloat16AgreesWithFloat32(_ title: String) throws {
    var operation = OperationCase.named(title)
    operation.leaves = operation.leaves.map { $0.rounded() }
    let device = try Device(threads: 2)
    let exact = operation.run(on: device)
    let found = operation.run(on: device, compute: .bfloat16)
    func tolerance(_ values: [Float]) -> Double { 3 * 0x1p-8 * Double(values.map(abs).max() ?? 0) }
    #expect(
      firstDifference(found.output, exact.output.map(Double.init), within: tolerance(exact.output)) == nil)
    for (leaf, (gradient, expected)) in zip(operation.leaves, zip(found.gradients, exact.gradients)) {
      #expect(
        firstDifference(gradient, expected.map(Double.init), within: tolerance(expected)) == nil,
        "gradient of \(leaf.name)")
    }
  }
}
