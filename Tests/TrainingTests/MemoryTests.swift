import Autograd
import Model
import Tensors
import Testing

@testable import Training

/// What one step holds in memory at most, by the device's own count.
struct MemoryTests {
  private static let layers = 6

  /// Six layers of which five have experts; small weights, so that activations are most of the memory.
  private static var configuration: ModelConfiguration {
    var c = ModelConfiguration.small
    (c.hiddenSize, c.numHiddenLayers, c.numAttentionHeads) = (64, layers, 8)
    (c.intermediateSize, c.moeIntermediateSize) = (128, 32)
    c.numNextnPredictLayers = 0
    return c
  }

  /// The peak of a forward and backward pass over `sequences` rows, in bytes.
  private func peak(
    _ configuration: ModelConfiguration = Self.configuration, sequences: Int, length: Int,
    recomputation: Recomputation = []
  ) throws -> Int {
    let model = try configuration.model()
    var runner = StepRunner(model)
    runner.recomputation = recomputation
    runner.balance.sequence = 1e-4
    let rows = (0..<sequences).map {
      scrambledTokens(length, below: configuration.vocabSize, seed: UInt64($0 + 1))
    }
    _ = runner.run([MicroBatch(rows: rows)], multiTokenWeight: 0)
    return model.device.pool.peakBytes
  }

  /// The same tokens in longer rows: a kept `[B, H, S, S]` would grow from 4 to 17 MB a layer.
  @Test func attentionWeightsAreNotKept() throws {
    let (short, long) = (try peak(sequences: 8, length: 128), try peak(sequences: 2, length: 512))
    #expect(Double(long) <= 1.2 * Double(short), "\(short) bytes in rows of 128, \(long) in rows of 512")
  }

  /// Twice the tokens take no more than twice the memory.
  @Test func memoryIsLinearInTheTokens() throws {
    let (one, two) = (try peak(sequences: 2, length: 256), try peak(sequences: 2, length: 512))
    #expect(Double(two) <= 2.1 * Double(one), "\(one) bytes for 512 tokens, \(two) for 1024")
  }

  /// 2048 tokens × 16384 logits × 4 bytes are 134 MB; weights and gradients of embedding and head are 17 MB. All within
  /// half of the former: not even in 16 bits are the logits there at once.
  @Test func logitsAreNeverWhole() throws {
    var configuration = Self.configuration
    (configuration.vocabSize, configuration.numHiddenLayers) = (16384, 1)
    let found = try peak(configuration, sequences: 16, length: 128)
    #expect(found < 2048 * 16384 * 4 / 2, "\(found) bytes")
  }

  /// What each part keeps for one token in the whole model, in bytes.
  private func keptBytes(_ part: Recomputation) -> Int {
    let c = Self.configuration
    let (layers, heads) = (Self.layers, c.numAttentionHeads)
    let query = c.qLoraRank ?? 0
    let floats =
      if part == .norms {
        layers * (2 * c.hiddenSize + query + c.kvLoraRank)
      } else if part == .upProjections {
        layers * heads * (c.qkHeadDim + c.qkNopeHeadDim + c.vHeadDim)
      } else {
        c.intermediateSize + (layers - 1) * c.moeIntermediateSize
      }
    return 4 * floats
  }

  /// At the peak one layer has its values again, or its gradients; of the others' at least two thirds must be saved.
  @Test(arguments: [.norms, .upProjections, .swiglu, [.norms, .upProjections, .swiglu]] as [Recomputation])
  func recomputationSavesMemory(_ recomputation: Recomputation) throws {
    let tokens = 4 * 256
    let kept = try peak(sequences: 4, length: 256)
    let found = try peak(sequences: 4, length: 256, recomputation: recomputation)
    let parts = [Recomputation.norms, .upProjections, .swiglu].filter(recomputation.contains)
    let saving = parts.reduce(0) { $0 + keptBytes($1) } * tokens
    #expect(kept - found >= saving * 2 / 3, "\(kept) bytes become \(found); kept were \(saving)")
  }
}
