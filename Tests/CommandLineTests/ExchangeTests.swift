import Checkpoint
import Foundation
import Model
import Tensors
import Testing

@testable import hadal

/// `hadal import` and `hadal export`: what goes out comes back.
struct ExchangeTests {
  private static let tokenizerFiles = ["tokenizer.json", "tokenizer_config.json"]

  /// A trained model, its export and the import of that.
  private func exchanged(_ dtype: String) throws -> Workbench {
    let bench = try Workbench()
    try bench.prepare()
    // As an import has it: what evaluation depends on beside the weights.
    try bench.train("tiny", ["training.sequence_length=64", "training.micro_batch_size=1"])
    try bench.succeed(["export", "--checkpoint", "runs/tiny", "--to", "out", "--dtype", dtype])
    try bench.succeed(["import", "--from", "out", "--to", "back"])
    return bench
  }

  @Test func float32ComesBackBitForBit() throws {
    let bench = try exchanged("float32")
    let files = ["config.json", "model.safetensors"] + Self.tokenizerFiles
    #expect(try bench.names("out") == files)
    #expect(try bench.names("back") == ["latest", "step-0"] + Self.tokenizerFiles)
    #expect(try bench.names(".").contains { $0.hasSuffix(".partial") } == false)
    try bench.succeed(["export", "--checkpoint", "back", "--to", "again"])
    for file in files { #expect(try bench.bytes("out/\(file)") == bench.bytes("again/\(file)"), "\(file)") }
    // The same numbers and the same text as the checkpoint that was exported.
    for command in [
      ["evaluate", "--data", "corpus", "--json"], ["generate", "--prompt", "the sea", "--tokens", "8"],
    ] {
      let own = try bench.succeed(command + ["--checkpoint", "runs/tiny"])
      let other = try bench.succeed(command + ["--checkpoint", "back"])
      #expect(own.output == other.output, "\(command)")
    }
  }

  @Test func trainingGoesOnFromWeightsAlone() throws {
    let bench = try exchanged("float32")
    let options = ["--resume", "back"]
    let outcome = try bench.train("more", ["training.steps=4"], options: options)
    #expect(outcome.error.contains("resumed from back/step-0 after step 0"), "\(outcome.error)")
    #expect(!outcome.error.contains("samples are not those"), "\(outcome.error)")
    let losses = try bench.metrics("more").values("loss_main")
    #expect(losses.count == 4)
    // It knows already what the first run learned: that began at 5.77.
    let last = try #require(try bench.metrics("tiny").values("loss_main").last)
    #expect(losses[0] < last + 0.2)
    try bench.train("more", ["training.steps=6"])
    #expect(bench.metrics("more").stepCount() == 6)
  }

  @Test func bfloat16IsRoundedOnce() throws {
    let bench = try exchanged("bfloat16")
    try bench.succeed(["export", "--checkpoint", "back", "--to", "again", "--dtype", "bfloat16"])
    #expect(try bench.bytes("out/model.safetensors") == bench.bytes("again/model.safetensors"))
    #expect(try bench.text("out/config.json").contains("\"torch_dtype\": \"bfloat16\""))
  }

  /// Codes are decoded as they are loaded: the probe of the FP8 directory is that of its import in float32.
  @Test func fp8IsReadAsWhatItStandsFor() throws {
    let bench = try exchanged("fp8")
    try bench.succeed(["export", "--checkpoint", "back", "--to", "decoded"])
    #expect(try bench.text("out/config.json").contains("\"weight_block_size\": [128, 128]"))
    let small = try bench.bytes("out/model.safetensors").count
    let large = try bench.bytes("decoded/model.safetensors").count
    #expect(small < large * 2 / 3)
    let header = "{\"input_ids\":{\"dtype\":\"I64\",\"shape\":[1,6],\"data_offsets\":[0,48]}}"
    let ids: [Int64] = [5, 23, 42, 8, 99, 1]
    let bytes = [Int64(header.utf8.count)].withUnsafeBytes { Array($0) } + Array(header.utf8)
    try bench.write("in.safetensors", bytes + ids.withUnsafeBytes { Array($0) })
    for model in ["out", "decoded"] {
      let outcome = try bench.succeed([
        "probe", "--model", model, "--input", "in.safetensors", "--output", "\(model).safetensors",
        "--mtp-weight", "0.3", "--gradients",
      ])
      #expect(outcome.error.isEmpty, "\(outcome.error)")
    }
    #expect(try bench.bytes("out.safetensors") == bench.bytes("decoded.safetensors"))
  }

  /// What has no code is refused, not written as something else.
  @Test func fp8RefusesWhatIsNoNumber() throws {
    let configuration = Self.configuration
    let model = DeepSeek(configuration, compute: .float32, on: try Device(threads: 1))
    model.initialize(seed: 1)
    let tensors = Dictionary(uniqueKeysWithValues: model.namedTensors.map { ($0.name, $0.tensor) })
    let name = "model.layers.0.self_attn.o_proj.weight"
    tensors[name]?.floats[5] = .nan
    let contents = CheckpointContents(
      configuration: "", step: 1, tokens: 1, nextSample: 1, tensors: model.namedTensors.map(\.record)
    ) { (name, write) throws(CheckpointError) in if let tensor = tensors[name] { try write(tensor.bytes) } }
    let store = CheckpointStore(directory: "\(try Workbench().path)/checkpoints")
    let saved = try store.save(contents)
    let stored = try StoredCheckpoint(saved.path)
    let weights = ExportedWeights(stored, configuration, format: .fp8, on: model.device)
    for part in [name, BlockScales.name(of: name)] {
      let error = try #require(throws: CheckpointError.self) { try weights.write(part) { _ in } }
      #expect(
        error.path == saved.path && error.message.contains("\"\(name)\" is nan at element 5"), "\(error)")
    }
  }

  private static let configuration: ModelConfiguration = {
    var c = ModelConfiguration()
    c.vocabSize = 11
    (c.hiddenSize, c.intermediateSize, c.moeIntermediateSize) = (6, 10, 4)
    (c.numHiddenLayers, c.numNextnPredictLayers) = (4, 2)
    (c.numAttentionHeads, c.qLoraRank, c.kvLoraRank) = (3, 5, 7)
    (c.qkNopeHeadDim, c.qkRopeHeadDim, c.vHeadDim) = (4, 2, 9)
    (c.nRoutedExperts, c.nSharedExperts, c.nGroup) = (4, 2, 2)
    (c.firstKDenseReplace, c.topkGroup, c.numExpertsPerTok) = (1, 1, 2)
    return c
  }()

  /// The list that streams files is the model's own.
  @Test func listedWeightsAreTheModels() throws {
    let changes: [(inout ModelConfiguration) -> Void] = [
      { _ in }, { $0.qLoraRank = nil }, { $0.topkMethod = .greedy }, { $0.nSharedExperts = 0 },
      { $0.nRoutedExperts = 0 }, { $0.moeLayerFreq = 2 }, { $0.numNextnPredictLayers = 0 },
    ]
    let device = try Device(threads: 1)
    for (index, change) in changes.enumerated() {
      var changed = Self.configuration
      change(&changed)
      for modules in [true, false] {
        let listed = ModelWeights(changed, multiTokenPrediction: modules).records
        let model = DeepSeek(changed, compute: .float32, multiTokenPrediction: modules, on: device)
        let own = model.namedTensors.map { "\($0.name) \($0.tensor.shape)" }
        #expect(Set(listed.map { "\($0.name) \($0.shape)" }) == Set(own), "\(index)")
        #expect(listed.count == own.count)
      }
    }
  }
}
