import Foundation
import Model
import Optimization
import Testing
import Training

/// The files in `configs/`.
@Suite struct RecipeTests {
  private static let directory = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    .appendingPathComponent("../../../../configs").standardized

  private func load(_ name: String) throws -> RunConfiguration {
    try RunConfiguration.load(path: Self.directory.appendingPathComponent(name).path)
  }

  @Test func everyRecipeIsValidAndReadsBackEqual() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.directory.path)
      .filter { $0.hasSuffix(".yaml") }
    #expect(
      Set(names).isSuperset(of: [
        "bench.yaml", "deepseek-v2-lite.yaml", "deepseek-v3.yaml", "quickstart.yaml",
      ]))
    for name in names {
      let run = try load(name)
      #expect(run.run.name != nil)
      #expect(try RunConfiguration.parse(yaml: run.yaml(), source: name) == run, "\(name)")
    }
  }

  @Test func deepSeekV3() throws {
    let run = try load("deepseek-v3.yaml")
    let model = try run.model.resolved(tokenizerVocabSize: nil)
    var published = ModelConfiguration()
    published.eosTokenId = 1
    #expect(model == published)
    #expect(ParameterCount(model).main == 671_026_404_352)
    var standard = TrainingSection()
    standard.tokens = 14_800_000_000_000
    standard.recompute = [.norms, .upProjections, .swiglu]
    // The published ramp begins where 16 ranks have too few micro-batches for DualPipe.
    standard.globalBatchSize.from = 4096
    #expect(run.training == standard)
    #expect(run.optimizer == OptimizerSection())
    // The first phase spells its start out; everything else is the default.
    let schedule = run.learningRateSchedule()
    #expect(schedule.value(step: 1000, tokens: 1) == 1.1e-4)
    #expect(schedule.value(step: 240_500, tokens: 14_700_000_000_000) == 7.3e-6)
    #expect(run.totalSteps() == 241_223)
  }

  /// Trained tokenizers have end-of-text 1, which is also that of V3's own.
  @Test func noRecipeContradictsATrainedTokenizer() throws {
    for name in ["bench.yaml", "deepseek-v2-lite.yaml", "deepseek-v3.yaml", "quickstart.yaml"] {
      #expect(throws: Never.self) {
        try load(name).model.resolved(tokenizerVocabSize: 4096, endOfText: 1)
      }
    }
  }

  @Test func deepSeekV2Lite() throws {
    let run = try load("deepseek-v2-lite.yaml")
    let model = try run.model.resolved(tokenizerVocabSize: nil)
    #expect(ParameterCount(model).main == 15_706_484_224)
    #expect(model.numNextnPredictLayers == 0 && model.scoringFunc == .softmax && !model.normTopkProb)
    let schedule = run.learningRateSchedule()
    #expect(schedule.value(step: 300_000, tokens: 5_000_000_000_000) == 1.3272e-4)
    #expect(abs(schedule.value(step: 310_000, tokens: 5_200_000_000_000) - 4.2e-4 * 0.316 * 0.316) < 1e-18)
  }

  /// The counts of the PyTorch program that this is measured against, which leaves norm gains out.
  @Test func bench() throws {
    let run = try load("bench.yaml")
    let model = try run.model.resolved(tokenizerVocabSize: nil)
    let count = ParameterCount(model)
    let layers = model.numHiddenLayers + 1
    let gains = (2 * layers + 1 + 3) * 512 + layers * (192 + 128)
    #expect(count.total - gains == 121_503_744)
    #expect(run.data.synthetic && run.precision.mode == .float32 && run.training.microBatchSize == 4)
  }

  @Test func theReferenceNamesEveryKey() {
    let text = ConfigurationReference.markdown()
    ReferenceRow.visit(RunConfiguration.schema.referenceRows, under: []) { row, path in
      #expect(row.rows.isEmpty || text.contains("# `\(path)`\n"), "\(path)")
      #expect(path.contains(".") == false || text.contains("| `\(row.key)` | "), "\(path)")
    }
    #expect(text.contains("| `beta2` | number ≥ 0 and < 1 |  | `0.95` | decay of the second moment |"))
    #expect(text.contains("| `vocab_size` | integer from 1 to 16777216, or `auto` | tokens | `auto` |"))
  }
}
