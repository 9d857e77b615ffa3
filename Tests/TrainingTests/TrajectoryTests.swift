import Autograd
import Checkpoint
import Foundation
import Model
import Optimization
import OracleSupport
import Tensors
import Testing

@testable import Training

/// 20 AdamW steps from tiny_a's weights, against torch.optim.AdamW on transformers' DeepseekV3ForCausalLM.
struct TrajectoryTests {
  /// The model, its optimizer and the batches of the oracle.
  private func start() throws -> (model: DeepSeek, optimizer: Optimizer, batches: [MicroBatch]) {
    var configuration = try ModelConfiguration.load(huggingFaceFile: oracleDirectory + "/tiny_a/config.json")
    configuration.numNextnPredictLayers = 0
    let model = DeepSeek(configuration, compute: .float32, on: try Device(threads: 2))
    try model.loadWeights(SafetensorsFile(oracleDirectory + "/tiny_a/model.safetensors").load)
    let optimizer = Optimizer(model.slots(), AdamWSettings(), moments: .float32)
    let file = try SafetensorsFile(oracleDirectory + "/tiny_a_trajectory/trajectory.safetensors")
    let shape = try file.entry("batches").shape
    let ids = try file.integers("batches").map(Int32.init)
    let batches = (0..<shape[0]).map { step in
      MicroBatch(
        rows: (0..<shape[1]).map { row in
          let begin = (step * shape[1] + row) * shape[2]
          return Array(ids[begin..<begin + shape[2]])
        })
    }
    return (model, optimizer, batches)
  }

  private func series(_ name: String) throws -> [Double] {
    let path = oracleDirectory + "/tiny_a_trajectory/trajectory.json"
    let text = try Data(contentsOf: URL(fileURLWithPath: path))
    let object = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
    return try #require(object[name] as? [Double])
  }

  /// Loss within 1e-4 absolute at each step: float32 against float64 differs by 1e-6 in the oracle itself, and
  /// 20 updates of 1e-3 multiply rounding.
  @Test(arguments: [("loss", 0.0), ("loss_f64_biasupdate", 1e-3)])
  func lossesFollowTorch(expected: String, biasUpdateSpeed: Double) throws {
    let (model, optimizer, batches) = try start()
    let losses = try series(expected)
    let norms = try series(expected == "loss" ? "grad_norm" : "grad_norm_f64")
    #expect(batches.count == 20 && losses.count == 20)
    for (step, batch) in batches.enumerated() {
      optimizer.clearGradients()
      let sums = StepRunner(model).run([batch], multiTokenWeight: 0)
      let loss = sums.mainLoss
      #expect(abs(loss - losses[step]) <= 1e-4, "step \(step): \(loss) is not \(losses[step])")
      let norm = optimizer.gradientSquares().squareRoot()
      if biasUpdateSpeed == 0 {
        let expected = norms[step]
        #expect(abs(norm - expected) <= 1e-3 * expected, "step \(step): norm \(norm) is not \(expected)")
      }
      optimizer.update(learningRate: 1e-3, norm: norm, step: step + 1)
      model.updateBiases(loads: sums.loads, speed: Float(biasUpdateSpeed))
    }
    let file = try SafetensorsFile(oracleDirectory + "/tiny_a_trajectory/trajectory.safetensors")
    if biasUpdateSpeed == 0 { try compareWeights(model, file) } else { try compareBiases(model, file) }
  }

  private func compareWeights(_ model: DeepSeek, _ file: SafetensorsFile) throws {
    for (name, tensor) in model.namedTensors.map({ ($0.name, $0.tensor) })
    where file.contains("final." + name) {
      let expected = try file.floats("final." + name)
      // Adam divides by the root of v: where a gradient is near 0, rounding moves a weight by up to one step (1e-3).
      let worst = zip(tensor.floats, expected).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst <= 1e-3, "\(name): differs by \(worst)")
      let mean =
        zip(tensor.floats, expected).map { Double(abs($0 - $1)) }.reduce(0, +) / Double(expected.count)
      #expect(mean <= 1e-5, "\(name): differs by \(mean) in the mean")
    }
  }

  private func compareBiases(_ model: DeepSeek, _ file: SafetensorsFile) throws {
    for (name, tensor) in model.buffers.map({ ($0.name, $0.tensor) }) {
      let expected = try file.floats("final_biasupdate." + name)
      let worst = zip(tensor.floats, expected).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst <= 1e-6, "\(name): \(Array(tensor.floats)) is not \(expected)")
    }
  }
}
