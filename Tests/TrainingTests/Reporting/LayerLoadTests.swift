import Foundation
import Testing
import Training

@Suite struct LayerLoadTests {
  @Test func balancedLoad() {
    let load = LayerLoad(layer: 3, counts: [5, 5, 5, 5], bias: [0.5, -0.25, 0, 0])
    #expect(load.layer == 3)
    #expect(load.maxViolation == 0)
    #expect(abs(load.entropy - 1) < 1e-15)
    #expect(load.deadExperts == 0)
    #expect(load.biasRange == .init(min: -0.25, max: 0.5))
  }

  @Test func oneExpertTakesAll() {
    let load = LayerLoad(layer: 0, counts: [0, 12, 0], bias: [])
    #expect(load.maxViolation == 2)
    #expect(load.entropy == 0 && load.entropy.sign == .plus)
    #expect(load.deadExperts == 2)
    #expect(load.biasRange == nil)
  }

  /// Shares 1/2, 1/4, 1/8, 1/8 carry 7/4 bits of the 2 that four experts can.
  @Test func knownEntropy() {
    let load = LayerLoad(layer: 0, counts: [4, 2, 1, 1], bias: [])
    #expect(abs(load.entropy - 1.75 / 2) < 1e-15)
    #expect(load.maxViolation == 1)
  }

  @Test func degenerateLoads() {
    let nothing = LayerLoad(layer: 0, counts: [0, 0], bias: [0, .nan])
    #expect(nothing.maxViolation.isNaN && nothing.entropy.isNaN)
    #expect(nothing.deadExperts == 2)
    #expect(nothing.biasRange?.min.isNaN == true && nothing.biasRange?.max.isNaN == true)
    #expect(LayerLoad(layer: 0, counts: [7], bias: []).entropy == 1)
  }

  @Test func meanOverLayers() {
    #expect(StepMetrics.sample(step: 1).maxViolation == 0.5)
  }

  /// A loss of 8 bits per token of 4 bytes.
  @Test func bitsPerByte() {
    var metrics = EvaluationMetrics.sample(step: 1)
    (metrics.loss, metrics.bytesPerToken) = (8 * log(2), 4)
    #expect(abs(metrics.bitsPerByte! - 2) < 1e-15)
    #expect(abs(metrics.perplexity - 256) < 1e-12)
    metrics.seconds = 3
    #expect(
      metrics.summary
        == "evaluation at step 1  loss 5.5452  bits/byte 2.000  perplexity 256.00  over 1000 tokens in 3s")
  }
}
