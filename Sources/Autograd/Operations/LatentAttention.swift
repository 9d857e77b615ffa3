package import Tensors

/// The core of multi-head latent attention: rotary embedding, causal softmax, weighted values.
///
/// `s_ij = (q_i · k_j + rope(qr_i) · rope(kr_j)) · scale`, `o_i = Σ_j softmax(s_i)_j v_j`, j ≤ i, and
/// with documents from the first key of i's own on.
/// `q [B·S, H·(nope + rope)]`, `kv [B·S, H·(nope + value)]`, `kr [B·S, rope]` shared by all heads,
/// `o [B·S, H·value]`. Products and softmax in float32. Backward computes the scores again from the saved
/// normalizers of the softmax, so memory is linear in the sequence.
/// Source: DeepSeek-V3, arXiv:2412.19437, equations 1 to 11.
package enum LatentAttention: Operation {
  package struct Inputs {
    package let q, kv, kr: Variable
    package let shape: AttentionShape
    package let table: RotaryTable
    /// `[B·S]` int32, the first key of its sequence that each query sees, never decreasing within one; nil for 0.
    package let documents: Tensor?
    /// The least amax of a tile, where o is kept for backward in E5M6; its own value may then be forgotten.
    package let packingFloor: Float?
    /// Where given, o is read as codes with these scales.
    package let scales: ScaleSettings?

    package init(
      q: Variable, kv: Variable, kr: Variable, shape: AttentionShape, table: RotaryTable,
      documents: Tensor? = nil, packingFloor: Float? = nil, scales: ScaleSettings? = nil
    ) {
      (self.q, self.kv, self.kr, self.shape, self.table) = (q, kv, kr, shape, table)
      (self.documents, self.packingFloor, self.scales) = (documents, packingFloor, scales)
    }
  }

  package struct Saved {
    fileprivate enum Output {
      case numbers(Tensor)
      case packed(PackedE5M6)
    }

    fileprivate let output: Output
    fileprivate let normalizers: Tensor

    /// o.
    fileprivate var o: Tensor {
      switch output {
      case .numbers(let o): o
      case .packed(let packed): packed.unpacked(to: .bfloat16)
      }
    }
  }

  package static let name = "latent attention"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.q, inputs.kv, inputs.kr] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: RowsOutput, saved: Saved) {
    let (o, normalizers) = attention(
      inputs.q.value, inputs.kv.value, inputs.kr.value, inputs.shape, inputs.table,
      documents: inputs.documents)
    guard recording, let floor = inputs.packingFloor else {
      return (.numbers(o), Saved(output: .numbers(o), normalizers: normalizers))
    }
    guard let scales = inputs.scales else {
      return (.numbers(o), Saved(output: .packed(packE5M6(o, amaxFloor: floor)), normalizers: normalizers))
    }
    let (codes, packed) = quantizeRowsAndPack(o, scales, amaxFloor: floor)
    let rows = CodedRows(codes: codes, scales: scales, numbers: nil)
    return (.coded(rows), Saved(output: .packed(packed), normalizers: normalizers))
  }

  package static func outputAgain(_ inputs: Inputs, _ saved: Saved) -> Tensor { saved.o }

  package static func inputGradient(
    _ dO: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Void) {
    let d = attentionGradient(
      dO, inputs.q.value, inputs.kv.value, inputs.kr.value, o: saved.o, normalizers: saved.normalizers,
      inputs.shape, inputs.table, documents: inputs.documents)
    return ([d.dq, d.dkv, d.dkr], ())
  }
}
