import Autograd
import Foundation
import Tensors
import Testing

/// The head on more rows than fit into one chunk of logits.
///
/// 8 Mi logits may exist at once: with 140,000 tokens in the vocabulary that is 64 rows (the least), so 130
/// rows make three chunks. Central differences would take minutes here; the gradients come from the formula,
/// `dlogits = scale (softmax − onehot)`.
struct CrossEntropyHeadTests {
  private static let (rows, width, vocabulary) = (130, 2, 140_000)
  private let h = randomNumbers(rows * width, "head h")
  private let weight = randomNumbers(vocabulary * width, "head weight")
  private let scale = randomNumbers(rows, "head scale").map { abs($0) + 0.1 }
  private let labels = (0..<rows).map { $0 % 9 == 4 ? Int32(-1) : Int32($0 * 7919 % vocabulary) }

  private struct Expected {
    var losses, dh, denominators: [Double]
  }

  private func expected() -> Expected {
    var result = Expected(losses: [], dh: [], denominators: [])
    let weight = weight.map(Double.init)
    weight.withUnsafeBufferPointer { w in
      for t in 0..<Self.rows {
        let (a, b) = (Double(h[2 * t]), Double(h[2 * t + 1]))
        var (sum, sumA, sumB) = (0.0, 0.0, 0.0)
        var v = 0
        while v < 2 * Self.vocabulary {
          let e = exp(a * w[v] + b * w[v + 1])
          sum += e
          sumA += e * w[v]
          sumB += e * w[v + 1]
          v += 2
        }
        result.denominators.append(sum)
        guard labels[t] >= 0 else {
          result.losses.append(0)
          result.dh += [0, 0]
          continue
        }
        let (wa, wb) = (w[2 * Int(labels[t])], w[2 * Int(labels[t]) + 1])
        result.losses.append(log(sum) - a * wa - b * wb)
        result.dh += [Double(scale[t]) * (sumA / sum - wa), Double(scale[t]) * (sumB / sum - wb)]
      }
    }
    return result
  }

  /// dW of some tokens: the labels of rows in every chunk, and others.
  private func weightGradient(_ tokens: [Int], _ expected: Expected) -> [Double] {
    tokens.flatMap { v in
      var d = [0.0, 0.0]
      for t in 0..<Self.rows where labels[t] >= 0 {
        let (a, b) = (Double(h[2 * t]), Double(h[2 * t + 1]))
        let p = exp(a * Double(weight[2 * v]) + b * Double(weight[2 * v + 1])) / expected.denominators[t]
        let dLogit = Double(scale[t]) * (p - (Int(labels[t]) == v ? 1 : 0))
        d[0] += dLogit * a
        d[1] += dLogit * b
      }
      return d
    }
  }

  @Test func severalChunks() throws {
    let device = try Device(threads: 2)
    let leaves = [
      Leaf(name: "h", role: .variable, shape: [Self.rows, Self.width], values: h),
      Leaf(name: "weight", role: .parameter, shape: [Self.vocabulary, Self.width], values: weight),
    ]
    let graph = Graph(leaves, on: device)
    let before = device.pool.peakBytes
    let (output, saved) = graph.tape.apply(
      CrossEntropyHead.self,
      CrossEntropyHead.Inputs(
        h: graph.variable("h"), weight: graph.parameter("weight"),
        labels: Tensor([Self.rows], labels, on: device), scale: Tensor([Self.rows], scale, on: device)))
    let all = Self.rows * Self.vocabulary * 4
    #expect(device.pool.peakBytes - before < all, "the logits of all rows existed at once")
    let found = output.value.numbers  // backward gives the value back
    graph.tape.backward(from: [(output, Tensor([1], [1] as [Float], on: device))])

    let expected = expected()
    // A row's denominator sums 140,000 terms, then logarithm and softmax.
    let terms = Self.vocabulary + 8
    let total = zip(expected.losses, scale).reduce(0) { $0 + $1.0 * Double($1.1) }
    #expect(
      firstDifference(
        saved.losses.numbers, expected.losses, within: float32Tolerance(roundings: 64, expected.losses))
        == nil)
    #expect(
      firstDifference(found, [total], within: float32Tolerance(roundings: 64, [total])) == nil)
    #expect(
      firstDifference(
        graph.gradient(leaves[0])!, expected.dh, within: float32Tolerance(roundings: terms, expected.dh))
        == nil)
    let labeled = [4, 0, 63, 64, 65, 127, 128, 129].map { $0 * 7919 % Self.vocabulary }
    let tokens = labeled + [1, 35_000, 139_999]
    let dWeight = weightGradient(tokens, expected)
    let places = tokens.flatMap { [2 * $0, 2 * $0 + 1] }
    #expect(
      firstDifference(
        graph.gradient(leaves[1])!, dWeight, within: float32Tolerance(roundings: Self.rows + 64, dWeight),
        at: places) == nil)
  }

  /// A batch whose labels are all ignored has no loss and no gradient, not NaN.
  @Test func allLabelsIgnored() throws {
    let device = try Device(threads: 2)
    let leaves: [Leaf] = [.variable("h", [3, 5]), .parameter("weight", [7, 5])]
    let graph = Graph(leaves, on: device)
    let inputs = CrossEntropyHead.Inputs(
      h: graph.variable("h"), weight: graph.parameter("weight"),
      labels: Tensor([3], [-1, -1, -1] as [Int32], on: device),
      scale: Tensor([3], [1, 1, 1] as [Float], on: device))
    let output = graph.tape.apply(CrossEntropyHead.self, inputs).output
    #expect(output.value.numbers == [0])
    graph.tape.backward(from: [(output, Tensor([1], [1] as [Float], on: device))])
    #expect(leaves.allSatisfy { graph.gradient($0)!.allSatisfy { $0 == 0 } })
  }

  /// Evaluation: the same losses, and no gradient memory is touched.
  @Test func evaluationGivesTheSameLosses() throws {
    let operation = OperationCase.named(CrossEntropyHead.name)
    let device = try Device(threads: 2)
    let recorded = operation.record(Graph(operation.leaves, on: device)).output.value.numbers
    let graph = Graph(operation.leaves, on: device)
    let labels = Tensor([7], [4, -1, 20, 0, 13, -100, 4] as [Int32], on: device)
    let scale = Tensor([7], randomNumbers(7, "row scale").map { abs($0) }, on: device)
    let inputs = CrossEntropyHead.Inputs(
      h: graph.variable("h"), weight: graph.parameter("weight"), labels: labels, scale: scale)
    let tape = Tape(on: device, isRecording: false)
    #expect(tape.apply(CrossEntropyHead.self, inputs).output.value.numbers == recorded)
    #expect(graph.parameter("weight").gradient.numbers.allSatisfy { $0 == 0 })
  }
}
