import Autograd
import Tensors

/// Latent attention in both storage conventions of its rotary part.
extension OperationCase {
  static var attentionCases: [OperationCase] {
    [
      attention("interleaved", sequences: 2, length: 11, interleaved: true),
      attention("halves", sequences: 3, length: 7, interleaved: false),
      // More than one block of 64 queries, the last one short.
      attention("two blocks", sequences: 1, length: 67, interleaved: true),
      // Documents of one token, and others in each sequence.
      attention("documents", sequences: 2, length: 11, interleaved: true, begins: [[3, 4, 9], [1, 6]]),
      // Several documents in the first block of 112 queries; the last of them goes on in the second.
      attention(
        "documents in two blocks", sequences: 1, length: 117, interleaved: false, begins: [[5, 38, 77]]),
    ]
  }

  /// The first key that each query sees, where documents begin at 0 and `begins` of their sequence.
  static func documents(_ begins: [[Int]], length: Int) -> [Int32] {
    begins.flatMap { begins in (0..<length).map { i in Int32(begins.last { $0 <= i } ?? 0) } }
  }

  private static func attention(
    _ variant: String, sequences: Int, length: Int, interleaved: Bool, begins: [[Int]]? = nil
  ) -> OperationCase {
    let shape = AttentionShape(
      sequences: sequences, queries: length, keys: length, heads: 2, nope: 3, rope: 4, value: 5, scale: 0.31,
      interleaved: interleaved)
    let frequencies = [1, 0.21]
    let documents = begins.map { Self.documents($0, length: length) }
    let reference = AttentionReference(shape: shape, frequencies: frequencies, documents: documents)
    let rows = sequences * length
    return OperationCase(
      LatentAttention.self, variant,
      leaves: [
        .variable("q", [rows, 2 * 7]), .variable("kv", [rows, 2 * 8]), .variable("kr", [rows, 4]),
      ], roundings: length + 7 + 12,
      inputs: { graph in
        LatentAttention.Inputs(
          q: graph.variable("q"), kv: graph.variable("kv"), kr: graph.variable("kr"), shape: shape,
          table: RotaryTable(positions: length, frequencies: frequencies, magnitude: 1, on: graph.device),
          documents: documents.map { Tensor([rows], $0, on: graph.device) })
      },
      reference: { x in reference(q: x["q"]!, kv: x["kv"]!, kr: x["kr"]!) })
  }
}
