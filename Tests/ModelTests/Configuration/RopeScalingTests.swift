import Foundation
import Model
import Testing

/// Expected values not marked otherwise are those of transformers 5.23.0, computed there in float32.
@Suite struct RopeScalingTests {
  private func yarn(
    dimensions: Int, theta: Double, factor: Double, original: Int,
    _ change: (inout RopeScaling) -> Void = { _ in }
  ) -> ModelConfiguration {
    var scaling = RopeScaling()
    (scaling.factor, scaling.originalMaxPositionEmbeddings) = (factor, original)
    change(&scaling)
    var model = ModelConfiguration()
    (model.qkRopeHeadDim, model.ropeTheta, model.ropeScaling) = (dimensions, theta, scaling)
    return model
  }

  private func expectEqual(_ found: [Double], _ expected: [Double]) {
    #expect(found.count == expected.count)
    for (index, pair) in zip(found, expected).enumerated() {
      // The references are float32 after a few roundings, or have seven digits.
      #expect(abs(pair.0 - pair.1) <= 5e-7 * abs(pair.1), "\(index): \(pair)")
    }
  }

  @Test func deepSeekV3() {
    let model = yarn(dimensions: 64, theta: 10_000, factor: 40, original: 4096) {
      ($0.mscale, $0.mscaleAllDim) = (1, 1)
    }
    let frequencies = model.ropeInverseFrequencies()
    #expect(frequencies.count == 32)
    expectEqual(
      [0, 10, 11, 16, 22, 23, 31].map { frequencies[$0] },
      [1, 5.623412877e-2, 3.900692612e-2, 5.500000436e-3, 1.778279402e-4, 3.333803397e-5, 3.333803534e-6])
    #expect(model.attentionFactor == 1)
    #expect(abs(model.softmaxScale - 0.1352338) < 5e-8)  // the report's m = 1.3688879, squared, over √192
  }

  @Test func plainRope() {
    let model = ModelConfiguration()
    let frequencies = model.ropeInverseFrequencies()
    expectEqual(
      [0, 10, 11, 16, 22, 23, 31].map { frequencies[$0] },
      [1, 5.623413e-2, 4.216965e-2, 1e-2, 1.778279e-3, 1.333521e-3, 1.333521e-4])
    #expect(abs(model.softmaxScale - 0.0721688) < 5e-8)
    #expect(model.attentionFactor == 1)
  }

  @Test func unequalMscales() {
    let model = yarn(dimensions: 10, theta: 500, factor: 8, original: 32) {
      ($0.betaFast, $0.betaSlow, $0.mscale, $0.mscaleAllDim) = (4, 1.5, 0.707, 1.2)
    }
    expectEqual(
      model.ropeInverseFrequencies(),
      [1, 3.606749699e-2, 1.040691510e-2, 3.002810758e-3, 8.664309862e-4])
    #expect(abs(model.attentionFactor - 0.9179561730379721) < 1e-15)
  }

  @Test func withoutMscales() {
    let model = yarn(dimensions: 6, theta: 500, factor: 8, original: 32)
    expectEqual(model.ropeInverseFrequencies(), [1, 1.574901305e-2, 1.984251197e-3])
    #expect(abs(model.attentionFactor - 1.2079441541679836) < 1e-15)
    #expect(model.softmaxScale == pow(128 + 6, -0.5))
  }

  /// The ramp would end at dimension 10 of 10; it ends at the last one.
  @Test func rampBeyondTheDimensions() {
    let model = yarn(dimensions: 10, theta: 500, factor: 8, original: 1 << 20) { $0.betaFast = 1e5 }
    expectEqual(
      model.ropeInverseFrequencies(),
      [1, 2.604874671e-1, 6.706678122e-2, 1.701592654e-2, 4.235885106e-3])
  }

  @Test func rampOfFractionalEndsAndGivenFactor() {
    let model = yarn(dimensions: 12, theta: 500, factor: 8, original: 48) {
      ($0.truncate, $0.attentionFactor) = (false, 1.1)
    }
    expectEqual(
      model.ropeInverseFrequencies(),
      [1, 1.967430562e-1, 1.574901305e-2, 5.590170156e-3, 1.984251197e-3, 7.043174119e-4])
    #expect(model.attentionFactor == 1.1)
  }
}
