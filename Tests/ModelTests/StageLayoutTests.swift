import Model
import Testing

/// How a model is cut into the stages of a pipeline.
struct StageLayoutTests {
  private func model(layers: Int, vocabulary: Int = 64, depths: Int = 1) -> ModelConfiguration {
    var model = ModelConfiguration()
    (model.numHiddenLayers, model.vocabSize, model.numNextnPredictLayers) = (layers, vocabulary, depths)
    model.firstKDenseReplace = 0
    return model
  }

  @Test(arguments: [
    ("E|t|tL", "E|t|tL"), ("Et*3L", "Et*3L"), ("E(t|)*3L", "Et|t|t|L"), ("Et|(tt)*2L", "Et|t*4L"),
    ("E t t | t L", "Et*2|tL"), ("Ettt|L|", "Et*3|L"), ("(E(t|)*2)*1tL", "Et|t|tL"),
  ])
  func layoutsAreRead(text: String, written: String) throws {
    let layers = written.contains("t*4") ? 5 : text.hasPrefix("E|t|tL") ? 2 : 3
    let layout = try StageLayout(text, of: model(layers: layers))
    #expect("\(layout)" == written)
    #expect(try StageLayout("\(layout)", of: model(layers: layers)) == layout)
    #expect(layout.stages.flatMap(\.layers) == Array(0..<layers))
    #expect(layout.stages.map(\.hasEmbedding) == layout.stages.indices.map { $0 == 0 })
    #expect(layout.stages.map(\.hasHead) == layout.stages.indices.map { $0 == layout.stages.count - 1 })
  }

  @Test(arguments: [
    ("Et|tL", "has 2 layers (t), and the model 3"), ("tttEL", "must begin with E"), ("Ettt", "end with L"),
    ("Et||ttL", "stage 1 is empty"), ("E(tt|tL", "column 7: '(' without ')'"), ("Et)ttL", "')' without '('"),
    ("Etttx", "column 5: 'x' is none of"), ("Et*0ttL", "how many, 1 to"),
    ("Et*99999999999999999999L", "how many"), ("E(t*9999)*9999L", "how many"), ("", "has 0 layers"),
    ("|EtttL", "stage 0 is empty"), ("EtEttL", "no other E"),
  ])
  func faultsAreNamed(text: String, words: String) throws {
    let error = try #require(throws: StageLayout.Fault.self) {
      _ = try StageLayout(text, of: model(layers: 3))
    }
    #expect("\(error)".contains(words), "\(error)")
  }

  /// No other cut into as many runs has a cheaper dearest stage: all are tried.
  @Test(arguments: [1, 2, 3, 4, 6, 9], [64, 8192, 200_000])
  func automaticCutsAreTheBest(stages: Int, vocabulary: Int) throws {
    let model = model(layers: 8, vocabulary: vocabulary)
    let layout = try StageLayout(stages: stages, of: model, tokens: 256)
    #expect(layout.stages.count == stages)
    #expect(layout.stages.flatMap(\.layers) == Array(0..<8))
    let layerCost = Double(cost(of: model, layers: 1)), end = Double(cost(of: model, layers: 0))
    func worst(_ ends: [Int]) -> Double {
      zip([0] + ends, ends).map { from, to in
        Double(min(to, 8) - min(from, 8)) * layerCost + (to == 9 ? end : 0)
      }.max() ?? 0
    }
    func cuts(_ count: Int, from: Int) -> [[Int]] {
      if count == 1 { return [[9]] }
      return (from + 1..<10 - count + 1).flatMap { end in cuts(count - 1, from: end).map { [end] + $0 } }
    }
    let found = layout.stages.map { $0.hasHead ? 9 : $0.layers.upperBound }
    let best = cuts(stages, from: 0).map(worst).min() ?? 0
    #expect(abs(worst(found) - best) <= 1e-9 * best)
  }

  /// Products of one token, written out anew from the shapes: of a layer with experts, or of what follows the layers.
  private func cost(of m: ModelConfiguration, layers: Int) -> Int {
    let (d, heads) = (m.hiddenSize, m.numAttentionHeads)
    let qk = m.qkNopeHeadDim + m.qkRopeHeadDim
    let query = m.qLoraRank.map { d * $0 + $0 + $0 * heads * qk } ?? d * heads * qk
    let keys = d * (m.kvLoraRank + m.qkRopeHeadDim) + m.kvLoraRank
    let up = m.kvLoraRank * heads * (m.qkNopeHeadDim + m.vHeadDim)
    let attention = query + keys + up + heads * m.vHeadDim * d + heads * (qk + m.vHeadDim) * 128
    let used = m.nSharedExperts + m.numExpertsPerTok
    let experts = 3 * d * m.moeIntermediateSize * used + m.nRoutedExperts * d
    let head = m.vocabSize * d
    return layers == 1 ? attention + experts : head + attention + experts + 2 * d * d + head
  }

  @Test func tooManyStages() throws {
    let error = try #require(throws: StageLayout.Fault.self) {
      _ = try StageLayout(stages: 5, of: model(layers: 3), tokens: 16)
    }
    #expect("\(error)".contains("5 stages for 3 layers and a head: at most 4"), "\(error)")
  }
}
