import Model
import Testing

@Suite struct ParameterCountTests {
  /// The published model: report and release, counted tensor by tensor from the released headers.
  @Test func deepSeekV3() {
    let count = ParameterCount(ModelConfiguration())
    #expect(count.attention == 61 * 187_107_328)
    #expect(count.denseFeedForward == 3 * 396_361_728)
    #expect(count.mixtureOfExperts == 58 * 11_320_164_352)
    #expect(count.embedding == 129_280 * 7168 && count.head == count.embedding)
    #expect(count.main == 671_026_404_352)
    #expect(count.routerBiases == 58 * 256 && count.main + count.routerBiases == 671_026_419_200)
    #expect(rounded(count.active) == 37.55)
    #expect(rounded(count.active - count.embedding) == 36.63)
    #expect(rounded(count.multiTokenPrediction) == 11.61)
    #expect(rounded(count.activeMultiTokenPrediction) == 2.54)
    #expect(count.total == count.main + count.multiTokenPrediction)
  }

  /// 15706484224 is what transformers 5.23.0 counts in a `DeepseekV2ForCausalLM` of this shape.
  @Test func deepSeekV2Lite() {
    var model = ModelConfiguration()
    (model.vocabSize, model.hiddenSize, model.intermediateSize) = (102_400, 2048, 10_944)
    (model.numHiddenLayers, model.numNextnPredictLayers, model.numAttentionHeads) = (27, 0, 16)
    (model.qLoraRank, model.nRoutedExperts, model.nSharedExperts) = (nil, 64, 2)
    (model.numExpertsPerTok, model.moeIntermediateSize, model.firstKDenseReplace) = (6, 1408, 1)
    (model.topkMethod, model.scoringFunc) = (.greedy, .softmax)
    let count = ParameterCount(model)
    #expect(count.main == 15_706_484_224 && count.total == count.main && count.routerBiases == 0)
    // «2.4B» of the report leaves out the embedding.
    #expect((count.active - count.embedding) / 100_000_000 == 24)
  }

  @Test func aDenseMTPModule() {
    var model = ModelConfiguration()
    (model.nRoutedExperts, model.numNextnPredictLayers) = (0, 2)
    let count = ParameterCount(model)
    #expect(count.mixtureOfExperts == 0 && count.denseFeedForward == 61 * 396_361_728)
    #expect(count.multiTokenPrediction == 2 * (187_107_328 + 396_361_728 + 5 * 7168 + 2 * 7168 * 7168))
  }

  /// In billions, to two places.
  private func rounded(_ count: Int) -> Double { (Double(count) / 1e7).rounded() / 100 }
}
