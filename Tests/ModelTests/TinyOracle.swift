import Autograd
import Checkpoint
import Model
import OracleSupport
import Tensors

/// The model of tiny_a/config.json.
func tinyConfiguration() -> ModelConfiguration {
  var c = ModelConfiguration()
  (c.vocabSize, c.hiddenSize, c.numHiddenLayers, c.numAttentionHeads) = (320, 128, 4, 4)
  (c.intermediateSize, c.moeIntermediateSize) = (176, 32)
  (c.qLoraRank, c.kvLoraRank) = (48, 32)
  (c.qkNopeHeadDim, c.qkRopeHeadDim, c.vHeadDim) = (16, 8, 16)
  (c.nRoutedExperts, c.nSharedExperts, c.numExpertsPerTok) = (16, 1, 4)
  (c.firstKDenseReplace, c.nGroup, c.topkGroup) = (1, 4, 2)
  return c
}

/// A model with the oracle's weights.
func tinyModel(
  multiTokenPrediction: Bool = false, compute: DType = .float32, float8: Float8Policy? = nil
) throws -> DeepSeek {
  var configuration = tinyConfiguration()
  configuration.numNextnPredictLayers = multiTokenPrediction ? 1 : 0
  let model = DeepSeek(configuration, compute: compute, float8: float8, on: try Device(threads: 2))
  let main = try SafetensorsFile(oracleDirectory + "/tiny_a/model.safetensors")
  let module = try SafetensorsFile(oracleDirectory + "/tiny_a_mtp/mtp.safetensors")
  try model.loadWeights { tensors in
    try main.load(into: tensors.filter { main.contains($0.name) })
    try module.load(into: tensors.filter { !main.contains($0.name) })
  }
  return model
}

/// The oracle's input as one micro-batch.
func tinyBatch(_ file: SafetensorsFile) throws -> MicroBatch {
  let shape = try file.entry("input_ids").shape
  let ids = try file.integers("input_ids").map(Int32.init)
  return MicroBatch(rows: (0..<shape[0]).map { Array(ids[$0 * shape[1]..<($0 + 1) * shape[1]]) })
}
