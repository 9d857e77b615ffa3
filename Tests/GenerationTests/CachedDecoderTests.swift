import Autograd
import Generation
import Model
import OracleSupport
import Tensors
import Testing

/// The logits at every position, `[S, V]`, by one forward pass without a cache.
func fullLogits(_ model: DeepSeek, _ ids: [Int32]) -> [[Float]] {
  let context = ForwardContext(
    tape: Tape(on: model.device, isRecording: false), sequences: 1, length: ids.count,
    table: model.rotaryTable(ids.count))
  let logits = model.logits(model.hiddenStates(ids, context).value)
  let all = Array(logits.floats)
  return (0..<ids.count).map { Array(all[$0 * logits.columns..<($0 + 1) * logits.columns]) }
}

struct CachedDecoderTests {
  /// Sums of float32 in another order: 1e-5 is some hundred roundings.
  private let limit = 1e-5

  @Test(arguments: SmallModel.allCases, [[1, 1, 1], [7, 1, 1], [3, 5, 2, 1]])
  func cachedLogitsAreThoseOfAFullForwardPass(kind: SmallModel, pieces: [Int]) throws {
    let model = try kind.model()
    let ids = (0..<36).map { Int32(($0 * 67 + 13) % 290) }
    let expected = fullLogits(model, ids)
    let decoder = CachedDecoder(model, capacity: ids.count)
    var (position, sizes) = (0, pieces[...])
    while position < ids.count {
      let size = sizes.popFirst() ?? 1
      let logits = decoder.advance(Array(ids[position..<position + size]))
      position += size
      #expect(decoder.count == position)
      let error = relativeError(logits.floats, expected[position - 1])
      #expect(error <= limit, "after \(position) tokens: \(error)")
    }
  }

  /// Two sequences do not see each other's tokens.
  @Test func decodersAreIndependent() throws {
    let model = try SmallModel.oracle.model()
    let (first, second) = (CachedDecoder(model, capacity: 8), CachedDecoder(model, capacity: 8))
    _ = first.advance([5, 6, 7])
    _ = second.advance([9])
    let logits = second.advance([10])
    let found = withExtendedLifetime(logits) { Array(logits.floats) }
    #expect(relativeError(found, fullLogits(model, [9, 10])[1]) <= limit)
  }
}
