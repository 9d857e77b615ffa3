import Foundation
import Training

/// A directory of one test, removed with it.
final class ReportingDirectory: Sendable {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("hadal-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  func write(_ text: String, to name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: file(name)))
  }

  func text(of name: String) throws -> String { try String(contentsOfFile: file(name), encoding: .utf8) }

  var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }
}

extension StepMetrics {
  /// A step of a model with two MoE layers and two MTP depths.
  static func sample(step: Int, main: Double = 2.5) -> StepMetrics {
    StepMetrics(
      step: step, tokens: step * 8192, epoch: 0.1, sequences: 16,
      losses: Losses(total: 3.25, main: main, mtp: [2, 3], balance: 1e-4), gradientNorm: 1.0 / 3,
      clipCoefficient: nil, learningRate: 3e-4, mtpWeight: 0.3, biasUpdateSpeed: 0.001, nonFiniteSteps: 2,
      isSkipped: false, stepSeconds: 2,
      tokensPerSecond: 4096, peakMemoryBytes: 2_750_000_000,
      layers: [
        LayerLoad(layer: 1, counts: [4, 4, 4, 4], bias: [0, 0, 0, 0]),
        LayerLoad(layer: 12, counts: [8, 8, 0, 0], bias: [-0.1, 0.1, 0.3, 0]),
      ])
  }
}

extension EvaluationMetrics {
  static func sample(step: Int) -> EvaluationMetrics {
    EvaluationMetrics(
      step: step, tokens: 4096, loss: 0, mtpLosses: [1, 2], bytesPerToken: 3, evaluatedTokens: 1000,
      seconds: .infinity)
  }
}
