import Autograd
import Tensors
import Testing

/// Attention within the documents of a packed sequence, on every instruction-set level, in both precisions.
struct DocumentAttentionTests {
  private static let (heads, nope, rope, value) = (2, 5, 6, 7)
  private static let widths = [heads * (nope + rope), heads * (nope + value), rope]
  private static let frequencies = [1, 0.21, 0.0437]

  private func shape(_ length: Int) -> AttentionShape {
    AttentionShape(
      sequences: 1, queries: length, keys: length, heads: Self.heads, nope: Self.nope, rope: Self.rope,
      value: Self.value, scale: 0.3, interleaved: true)
  }

  /// q, kv and kr of each token, in numbers that bfloat16 holds exactly.
  private func leaves(_ length: Int) -> [Leaf] {
    zip(["q", "kv", "kr"], Self.widths).map { Leaf.variable($0, [length, $1]).rounded() }
  }

  private struct Result {
    let output: [Float]
    /// Of q, kv and kr.
    let gradients: [[Float]]
  }

  /// Tokens `range` of the leaves forward and backward.
  /// - Parameter upstream: the gradient of the whole sequence's output.
  private func run(
    _ leaves: [Leaf], _ range: Range<Int>, _ upstream: [Float], begins: [Int]? = nil,
    compute: DType = .float32, on device: Device
  ) -> Result {
    let length = range.count
    let parts = zip(leaves, Self.widths).map { leaf, width in
      var part = Leaf.variable(leaf.name, [length, width])
      part.values = Array(leaf.values[range.lowerBound * width..<range.upperBound * width])
      return part
    }
    let graph = Graph(parts, compute: compute, on: device)
    let inputs = LatentAttention.Inputs(
      q: graph.variable("q"), kv: graph.variable("kv"), kr: graph.variable("kr"), shape: shape(length),
      table: RotaryTable(positions: length, frequencies: Self.frequencies, magnitude: 1, on: device),
      documents: begins.map {
        Tensor([length], OperationCase.documents([$0], length: length), on: device)
      })
    let output = graph.tape.apply(LatentAttention.self, inputs).output
    let (width, numbers) = (Self.heads * Self.value, output.value.numbers)
    let dO = Tensor(
      [length, width], Array(upstream[range.lowerBound * width..<range.upperBound * width]), on: device)
    graph.tape.backward(from: [(output, dO.converted(to: compute))])
    return Result(output: numbers, gradients: parts.map { graph.gradient($0)! })
  }

  private func upstream(_ length: Int) -> [Float] {
    randomNumbers(length * Self.heads * Self.value, "document upstream")
  }

  /// Three roundings to bfloat16, as GradientTests allows, beside those of float32 sums.
  private func tolerance(_ compute: DType, _ length: Int, _ expected: [Double]) -> Double {
    let largest = expected.map(abs).max() ?? 0
    return float32Tolerance(roundings: length + Self.nope + Self.rope + 12, expected)
      + (compute == .bfloat16 ? 3 * 0x1p-8 * largest : 0)
  }

  /// More keys than one block of 112 queries, and more than 1024, where blocks have 56: documents that begin at odd
  /// places, several in a block, one over several blocks.
  @Test(
    arguments: [(130, [1, 33, 90, 111]), (250, [7]), (1043, [3, 40, 41, 557, 1030])],
    [
      DType.float32, .bfloat16,
    ])
  func equalsTheFormula(_ packed: (length: Int, begins: [Int]), compute: DType) throws {
    let (length, leaves) = (packed.length, leaves(packed.length))
    let reference = AttentionReference(
      shape: shape(length), frequencies: Self.frequencies,
      documents: OperationCase.documents([packed.begins], length: length))
    let numbers = leaves.map { $0.values.map(Double.init) }
    let expected = reference(q: numbers[0], kv: numbers[1], kr: numbers[2])
    for level in Device.supportedLevels() {
      let found = run(
        leaves, 0..<length, upstream(length), begins: packed.begins, compute: compute,
        on: try Device(threads: 2, level: level))
      let tolerance = tolerance(compute, length, expected)
      #expect(firstDifference(found.output, expected, within: tolerance) == nil, "\(level)")
    }
  }

  /// A packed sequence is its documents one by one, forward and backward: rotary embedding is relative, so that
  /// positions that go on over documents change nothing but roundings.
  @Test(arguments: [(75, [1, 33]), (1043, [3, 40, 41, 557, 1030])], [DType.float32, .bfloat16])
  func equalsItsDocuments(_ packed: (length: Int, begins: [Int]), compute: DType) throws {
    let (length, leaves, upstream) = (packed.length, leaves(packed.length), upstream(packed.length))
    let ends = packed.begins + [length]
    for level in Device.supportedLevels() {
      let device = try Device(threads: 2, level: level)
      let found = run(leaves, 0..<length, upstream, begins: packed.begins, compute: compute, on: device)
      let alone = zip([0] + packed.begins, ends).map {
        run(leaves, $0..<$1, upstream, compute: compute, on: device)
      }
      let pairs =
        [(found.output, alone.flatMap(\.output))]
        + (0..<3).map { i in (found.gradients[i], alone.flatMap { $0.gradients[i] }) }
      for (what, pair) in zip(["output", "dq", "dkv", "dkr"], pairs) {
        let expected = pair.1.map(Double.init)
        // The angles are float32: at position p they are off by half a unit of p.
        let angles = Double(length) * 0x1p-24 * (expected.map(abs).max() ?? 0)
        let tolerance = tolerance(compute, length, expected) + 8 * angles
        #expect(firstDifference(pair.0, expected, within: tolerance) == nil, "\(what), \(level)")
      }
    }
  }

  /// A gradient that arrives within one document reaches no token of another, not even a rounding of it.
  @Test(arguments: [DType.float32, .bfloat16])
  func noGradientLeavesItsDocument(compute: DType) throws {
    let (length, document) = (150, 37..<121)
    let (leaves, width) = (leaves(length), Self.heads * Self.value)
    var upstream = upstream(length)
    for i in upstream.indices where !document.contains(i / width) { upstream[i] = 0 }
    for level in Device.supportedLevels() {
      let found = run(
        leaves, 0..<length, upstream, begins: [37, 121], compute: compute,
        on: try Device(threads: 2, level: level))
      for (gradient, width) in zip(found.gradients, Self.widths) {
        for i in gradient.indices where !document.contains(i / width) {
          #expect(gradient[i] == 0, "[\(i / width), \(i % width)], \(level)")
        }
        #expect(gradient[(document.lowerBound * width)...].contains { $0 != 0 }, "\(level)")
      }
    }
  }
}
