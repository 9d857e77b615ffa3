import Checkpoint
import Data
import Model
import OracleSupport
import Tensors
import Testing

/// Models small enough to compare whole forward passes.
enum SmallModel: String, CaseIterable {
  /// Weights of transformers' tiny DeepSeek-V3 (Tests/Oracle/tiny_a).
  case oracle
  /// Random weights; YaRN, no query compression, rotary halves, softmax routing; nothing is a multiple of 4.
  case yarn

  func model() throws -> DeepSeek {
    let model = DeepSeek(
      configuration, compute: .float32, multiTokenPrediction: false, on: try Device(threads: 2))
    switch self {
    case .yarn: model.initialize(seed: 7)
    case .oracle:
      let file = try SafetensorsFile(oracleDirectory + "/tiny_a/model.safetensors")
      try model.loadWeights(file.load)
    }
    return model
  }

  private var configuration: ModelConfiguration {
    var c = ModelConfiguration()
    (c.vocabSize, c.hiddenSize, c.intermediateSize, c.moeIntermediateSize) = (320, 128, 176, 32)
    (c.numHiddenLayers, c.numAttentionHeads, c.qLoraRank, c.kvLoraRank) = (4, 4, 48, 32)
    (c.qkNopeHeadDim, c.qkRopeHeadDim, c.vHeadDim) = (16, 8, 16)
    (c.nRoutedExperts, c.numExpertsPerTok, c.firstKDenseReplace) = (16, 4, 1)
    (c.nGroup, c.topkGroup, c.maxPositionEmbeddings) = (4, 2, 256)
    guard self == .yarn else { return c }
    var scaling = RopeScaling()
    (scaling.factor, scaling.originalMaxPositionEmbeddings) = (4, 16)
    (scaling.mscale, scaling.mscaleAllDim) = (1, 0.7)
    (c.vocabSize, c.hiddenSize, c.numHiddenLayers, c.numAttentionHeads) = (301, 57, 3, 3)
    (c.qLoraRank, c.kvLoraRank, c.qkNopeHeadDim, c.qkRopeHeadDim, c.vHeadDim) = (nil, 19, 9, 6, 11)
    (c.ropeScaling, c.ropeInterleave, c.maxPositionEmbeddings) = (scaling, false, 40)
    (c.scoringFunc, c.topkMethod, c.normTopkProb) = (.softmax, .greedy, false)
    (c.initializerRange, c.nSharedExperts) = (0.2, 2)
    return c
  }
}

/// A tokenizer of at most 300 tokens, trained on the spot.
func smallTokenizer() throws -> Tokenizer {
  var trainer = try TokenizerTrainer(vocabularySize: 300)
  for document in ["the cat sat on the mat — élan", "the dog and the cat 猫", "on and on and on"] {
    trainer.add(document)
  }
  return try trainer.tokenizer()
}
