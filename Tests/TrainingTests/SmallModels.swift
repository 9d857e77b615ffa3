import Autograd
import Foundation
import Model
import Tensors

extension ModelConfiguration {
  /// A dense layer, an MoE layer and a module of multi-token prediction; 8 experts, of which a token has 2.
  static var small: ModelConfiguration {
    var c = ModelConfiguration()
    (c.vocabSize, c.hiddenSize, c.numHiddenLayers, c.numAttentionHeads) = (64, 32, 2, 2)
    (c.intermediateSize, c.moeIntermediateSize) = (64, 16)
    (c.qLoraRank, c.kvLoraRank) = (24, 16)
    (c.qkNopeHeadDim, c.qkRopeHeadDim, c.vHeadDim) = (8, 8, 16)
    (c.nRoutedExperts, c.nSharedExperts, c.numExpertsPerTok) = (8, 1, 2)
    (c.firstKDenseReplace, c.nGroup, c.topkGroup) = (1, 1, 1)
    // Large enough that tokens, experts and predictions differ.
    c.initializerRange = 0.2
    return c
  }

  /// A model of this shape with random weights, on a device of its own.
  func model(seed: UInt64 = 3) throws -> DeepSeek {
    let model = DeepSeek(self, compute: .float32, on: try Device(threads: 2))
    model.initialize(seed: seed)
    return model
  }
}

/// Tokens without an order that could be learned: the same for the same seed.
func scrambledTokens(_ count: Int, below bound: Int, from first: Int = 0, seed: UInt64) -> [Int32] {
  var state = seed
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int32(first + Int(state >> 33) % (bound - first))
  }
}

/// A file that is removed with the value.
final class TemporaryFile {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("hadal-\(UUID().uuidString)").path
  deinit { try? FileManager.default.removeItem(atPath: path) }
}
