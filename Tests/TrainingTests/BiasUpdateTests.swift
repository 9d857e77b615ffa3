import Model
import Tensors
import Testing

@testable import Training

/// `b_i += γ · sign(mean(c) − c_i)`, by hand: specification §2.3.
struct BiasUpdateTests {
  private let speed: Float = 0.25
  private let start: [Float] = [0, 1, -1, 0.5, 2, -2, 3, -0.5]

  /// A model whose layers 1 and 2 begin with the same biases.
  private func model() throws -> DeepSeek {
    let model = try ModelConfiguration.small.model()
    for experts in model.expertLayers {
      for (i, value) in start.enumerated() { experts.bias.floats[i] = value }
    }
    return model
  }

  private func biases(_ model: DeepSeek) -> [Int: [Float]] {
    Dictionary(uniqueKeysWithValues: model.expertLayers.map { ($0.layer, Array($0.bias.floats)) })
  }

  struct Case: Sendable {
    let counts: [Int]
    let signs: [Float]
  }

  @Test(arguments: [
    Case(counts: [1, 2, 3, 4, 4, 5, 6, 7], signs: [1, 1, 1, 0, 0, -1, -1, -1]),
    Case(counts: [5, 5, 5, 5, 5, 5, 5, 5], signs: [0, 0, 0, 0, 0, 0, 0, 0]),
    Case(counts: [0, 0, 0, 0, 0, 0, 0, 1], signs: [1, 1, 1, 1, 1, 1, 1, -1]),
    Case(counts: [0, 0, 0, 0, 0, 0, 0, 0], signs: [0, 0, 0, 0, 0, 0, 0, 0]),
    // The mean, 3 1/8, is no whole number.
    Case(counts: [3, 3, 3, 3, 3, 3, 3, 4], signs: [1, 1, 1, 1, 1, 1, 1, -1]),
  ])
  func followsTheSign(_ load: Case) throws {
    let model = try model()
    model.updateBiases(loads: [1: load.counts], speed: speed)
    let found = biases(model)
    // All these numbers are exact in binary.
    #expect(found[1] == zip(start, load.signs).map { $0 + 0.25 * $1 })
    #expect(found[2] == start, "a layer without loads keeps its biases")
  }

  @Test func layersHaveLoadsOfTheirOwn() throws {
    let model = try model()
    model.updateBiases(
      loads: [1: [9, 1, 1, 1, 1, 1, 1, 1], 2: [0, 2, 2, 2, 2, 2, 2, 2], 7: [1, 0, 0, 0, 0, 0, 0, 0]],
      speed: speed)
    let found = biases(model)
    #expect(found[1]?[0] == -0.25 && found[1]?[1] == 1.25)
    #expect(found[2]?[0] == 0.25 && found[2]?[1] == 0.75)
  }

  @Test func speedZeroChangesNothing() throws {
    let model = try model()
    model.updateBiases(loads: [1: [8, 0, 0, 0, 0, 0, 0, 0], 2: [8, 0, 0, 0, 0, 0, 0, 0]], speed: 0)
    #expect(biases(model) == [1: start, 2: start])
  }

  /// DeepSeek-V2's routers have no bias, so there is nothing to move.
  @Test func routersWithoutBiasStayWithoutIt() throws {
    var configuration = ModelConfiguration.small
    configuration.topkMethod = .greedy
    let model = try configuration.model()
    model.updateBiases(loads: [1: [8, 0, 0, 0, 0, 0, 0, 0]], speed: speed)
    #expect(model.buffers.isEmpty)
    #expect(biases(model)[1] == [0, 0, 0, 0, 0, 0, 0, 0])
  }
}
