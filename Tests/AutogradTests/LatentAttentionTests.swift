import Autograd
import Tensors
import Testing

/// What the gradient check does not show of attention: the cache, causality, the logarithms of the
/// denominators.
struct LatentAttentionTests {
  private static let (heads, nope, rope, value) = (3, 5, 6, 7)
  private static let frequencies = [1, 0.21, 0.0437]
  private let device: Device
  init() throws { device = try Device(threads: 2) }

  private func shape(_ sequences: Int, _ queries: Int, _ keys: Int, interleaved: Bool = true)
    -> AttentionShape
  {
    AttentionShape(
      sequences: sequences, queries: queries, keys: keys, heads: Self.heads, nope: Self.nope, rope: Self.rope,
      value: Self.value, scale: 0.3, interleaved: interleaved)
  }

  private func table(_ positions: Int) -> RotaryTable {
    RotaryTable(positions: positions, frequencies: Self.frequencies, magnitude: 1, on: device)
  }

  private struct Arrays {
    var q, kv, kr: [Float]
    init(rows: Int) {
      q = randomNumbers(rows * heads * (nope + rope), "attention q")
      kv = randomNumbers(rows * heads * (nope + value), "attention kv")
      kr = randomNumbers(rows * rope, "attention kr")
    }
  }

  private func forward(_ x: Arrays, _ shape: AttentionShape) -> (o: [Float], normalizers: [Float]) {
    let (queries, keys) = (shape.sequences * shape.queries, shape.sequences * shape.keys)
    let result = attention(
      Tensor([queries, x.q.count / queries], x.q, on: device),
      Tensor([keys, x.kv.count / keys], x.kv, on: device),
      Tensor([keys, x.kr.count / keys], x.kr, on: device),
      shape, table(shape.keys))
    return (result.o.numbers, result.normalizers.numbers)
  }

  /// Queries not a multiple of 64, with blocks of 64, 64 and 2 rows.
  @Test(arguments: [true, false])
  func severalBlocks(interleaved: Bool) {
    let (rows, shape) = (130, shape(1, 130, 130, interleaved: interleaved))
    let x = Arrays(rows: rows)
    let reference = AttentionReference(shape: shape, frequencies: Self.frequencies)
    let expected = reference(q: x.q.map(Double.init), kv: x.kv.map(Double.init), kr: x.kr.map(Double.init))
    let tolerance = float32Tolerance(roundings: rows + Self.nope + Self.rope + 12, expected)
    #expect(firstDifference(forward(x, shape).o, expected, within: tolerance) == nil)
  }

  /// The last queries against all keys, as generation does, give the last rows of the full result.
  @Test(arguments: [(1, 1), (1, 7), (2, 3), (2, 70)])
  func cachedKeysGiveTheLastRows(sequences: Int, queries: Int) {
    let keys = 75
    let x = Arrays(rows: sequences * keys)
    let full = forward(x, shape(sequences, keys, keys))
    let (qWidth, oWidth) = (Self.heads * (Self.nope + Self.rope), Self.heads * Self.value)
    func lastRows(_ array: [Float], _ width: Int) -> [Float] {
      var rows: [Float] = []
      for b in 0..<sequences {
        let end = (b + 1) * keys
        rows += array[(end - queries) * width..<end * width]
      }
      return rows
    }
    var cached = x
    cached.q = lastRows(x.q, qWidth)
    let found = forward(cached, shape(sequences, queries, keys))
    // Other block boundaries, so other orders of the same sums.
    let expected = lastRows(full.o, oWidth).map(Double.init)
    let tolerance = float32Tolerance(roundings: keys, expected)
    #expect(firstDifference(found.o, expected, within: tolerance) == nil)
  }

  /// Changing everything from a position on leaves every earlier output as it was, bit by bit; and the other
  /// sequence too.
  @Test(arguments: [1, 40, 63, 64, 65, 69])
  func theFutureHasNoInfluence(position: Int) {
    let length = 70
    let x = Arrays(rows: 2 * length)
    var changed = x
    for row in position..<length {
      for c in 0..<Self.heads * (Self.nope + Self.rope) { changed.q[row * 33 + c] += 10 }
      for c in 0..<Self.heads * (Self.nope + Self.value) { changed.kv[row * 36 + c] -= 10 }
      for c in 0..<Self.rope { changed.kr[row * 6 + c] = .nan }
    }
    let (before, after) = (
      forward(x, shape(2, length, length)).o, forward(changed, shape(2, length, length)).o
    )
    let width = Self.heads * Self.value
    #expect(
      firstDifferentBits(Array(after[..<(position * width)]), Array(before[..<(position * width)])) == nil)
    #expect(firstDifferentBits(Array(after[(length * width)...]), Array(before[(length * width)...])) == nil)
    #expect(after[position * width].isNaN, "the changed position shows its NaN")
  }

  /// Nor does any gradient flow to the future: an upstream gradient at one position reaches no later row.
  /// (Position 0 sees one key: its weight is 1 whatever the score, and has no slope.)
  @Test(arguments: [1, 30, 64])
  func noGradientReachesTheFuture(position: Int) {
    let (length, x) = (70, Arrays(rows: 70))
    let shape = shape(1, length, length)
    let tape = Tape(on: device)
    let inputs = LatentAttention.Inputs(
      q: Variable(Tensor([length, 33], x.q, on: device)),
      kv: Variable(Tensor([length, 36], x.kv, on: device)),
      kr: Variable(Tensor([length, 6], x.kr, on: device)), shape: shape, table: table(length))
    let output = tape.apply(LatentAttention.self, inputs).output
    let dO = Tensor.zeros(output.value.shape, on: device)
    for c in 0..<21 { dO.floats[position * 21 + c] = 1 }
    tape.backward(from: [(output, dO)])
    for (variable, width) in [(inputs.q, 33), (inputs.kv, 36), (inputs.kr, 6)] {
      let gradient = variable.gradient!.numbers
      #expect(gradient[((position + 1) * width)...].allSatisfy { $0 == 0 })
      #expect(gradient[(position * width)..<((position + 1) * width)].contains { $0 != 0 })
    }
  }

  /// Scores far beyond exp's range: the softmax is shifted, so it neither overflows nor becomes NaN.
  @Test func largeScoresDoNotOverflow() {
    var x = Arrays(rows: 20)
    x.q = x.q.map { $0 * 300 }
    let found = forward(x, shape(1, 20, 20))
    #expect(found.o.allSatisfy(\.isFinite) && found.normalizers.allSatisfy(\.isFinite))
    #expect(found.normalizers.contains { $0 > 500 }, "the scores are not large enough for this test")
  }
}
