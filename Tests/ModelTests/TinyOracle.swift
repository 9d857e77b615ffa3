import Autograd
import Checkpoint
import Foundation
import Model
import Tensors
import Testing

/// The folder of files made by other software (see each info.json there).
let oracleDirectory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .appendingPathComponent("Oracle").path

/// The model of tiny_a/config.json.
func tinyConfiguration() -> ModelConfiguration {
  var c = ModelConfiguration()
  c.vocabSize = 320
  c.hiddenSize = 128
  c.intermediateSize = 176
  c.moeIntermediateSize = 32
  c.numHiddenLayers = 4
  c.numAttentionHeads = 4
  c.qLoraRank = 48
  c.kvLoraRank = 32
  (c.qkNopeHeadDim, c.qkRopeHeadDim, c.vHeadDim) = (16, 8, 16)
  (c.nRoutedExperts, c.nSharedExperts, c.numExpertsPerTok) = (16, 1, 4)
  (c.firstKDenseReplace, c.nGroup, c.topkGroup) = (1, 4, 2)
  return c
}

/// Reads a float32 tensor of an oracle as an array.
func floats(_ file: SafetensorsFile, _ name: String) throws -> [Float] {
  let bytes = try file.bytes(name)
  try #require(try file.entry(name).type == .float32)
  return (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
}

func integers(_ file: SafetensorsFile, _ name: String) throws -> [Int] {
  let bytes = try file.bytes(name)
  switch try file.entry(name).type {
  case .int64: return (0..<bytes.count / 8).map { Int(bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)) }
  case .int32: return (0..<bytes.count / 4).map { Int(bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)) }
  case let type: throw CheckpointError(.malformed, path: file.path, "\(name) is \(type)")
  }
}

/// `‖found − expected‖ / ‖expected‖`; where the expectation is all zero, 0 if and only if found is all zero too.
func relativeError(_ found: some Collection<Float>, _ expected: some Collection<Float>) -> Double {
  guard found.count == expected.count else { return .infinity }
  var (difference, norm) = (0.0, 0.0)
  for (f, e) in zip(found, expected) {
    difference += (Double(f) - Double(e)) * (Double(f) - Double(e))
    norm += Double(e) * Double(e)
  }
  if norm == 0 { return difference == 0 ? 0 : .infinity }
  return difference.isFinite ? (difference / norm).squareRoot() : .infinity
}

/// A model with the oracle's weights.
func tinyModel(
  multiTokenPrediction: Bool = false, compute: DType = .float32, threads: Int = 2
) throws -> DeepSeek {
  var configuration = tinyConfiguration()
  configuration.numNextnPredictLayers = multiTokenPrediction ? 1 : 0
  let model = DeepSeek(configuration, compute: compute, on: try Device(threads: threads))
  let main = try SafetensorsFile(oracleDirectory + "/tiny_a/model.safetensors")
  let module = try SafetensorsFile(oracleDirectory + "/tiny_a_mtp/mtp.safetensors")
  for target in model.namedTensors {
    try (main.contains(target.name) ? main : module).load(into: [NamedTensor(name: target.name, tensor: target.tensor)])
  }
  model.parameters.forEach { $0.masterDidChange() }
  return model
}

/// The oracle's input as one micro-batch.
func tinyBatch(_ file: SafetensorsFile) throws -> MicroBatch {
  let shape = try file.entry("input_ids").shape
  let ids = try integers(file, "input_ids").map(Int32.init)
  return MicroBatch(rows: (0..<shape[0]).map { Array(ids[$0 * shape[1]..<($0 + 1) * shape[1]]) })
}
