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
    ]
  }

  private static func attention(
    _ variant: String, sequences: Int, length: Int, interleaved: Bool
  ) -> OperationCase {
    let shape = AttentionShape(
      sequences: sequences, queries: length, keys: length, heads: 2, nope: 3, rope: 4, value: 5, scale: 0.31,
      interleaved: interleaved)
    let frequencies = [1, 0.21]
    let reference = AttentionReference(shape: shape, frequencies: frequencies)
    let rows = sequences * length
    return OperationCase(
      LatentAttention.self, variant,
      leaves: [
        .variable("q", [rows, 2 * 7]), .variable("kv", [rows, 2 * 8]), .variable("kr", [rows, 4]),
      ], roundings: length + 7 + 12,
      inputs: { graph in
        LatentAttention.Inputs(
          q: graph.variable("q"), kv: graph.variable("kv"), kr: graph.variable("kr"), shape: shape,
          table: RotaryTable(positions: length, frequencies: frequencies, magnitude: 1, on: graph.device))
      },
      reference: { x in reference(q: x["q"]!, kv: x["kv"]!, kr: x["kr"]!) })
  }
}
