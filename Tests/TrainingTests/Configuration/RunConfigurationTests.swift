import Model
import Optimization
import Testing
import Training

/// A complete configuration of ten steps, each of 4 sequences of 32 tokens.
let smallRun = """
  model:
    hidden_size: 64
    intermediate_size: 96
    num_hidden_layers: 2
    num_attention_heads: 2
    kv_lora_rank: 16
    qk_nope_head_dim: 8
    qk_rope_head_dim: 8
    v_head_dim: 8
    n_routed_experts: 8
    num_experts_per_tok: 2
    moe_intermediate_size: 16
    first_k_dense_replace: 1
    max_position_embeddings: 128
  data:
    directory: corpus
  training:
    steps: 10
    sequence_length: 32
    micro_batch_size: 2
    global_batch_size: 4

  """

@Suite struct RunConfigurationTests {
  private func parse(_ yaml: String = smallRun, _ overrides: String...) throws(ConfigurationError)
    -> RunConfiguration
  {
    try RunConfiguration.parse(yaml: yaml, source: "a.yaml", overrides: overrides)
  }

  private func faultsOf(_ yaml: String = smallRun, with overrides: [String]) -> [String] {
    faults { () throws(ConfigurationError) in
      _ = try RunConfiguration.parse(yaml: yaml, source: "a.yaml", overrides: overrides)
    }
  }

  @Test func defaultsAreThePapers() throws {
    let run = try parse()
    #expect(run.optimizer.beta1 == 0.9 && run.optimizer.beta2 == 0.95 && run.optimizer.weightDecay == 0.1)
    #expect(
      run.optimizer.clipNorm == 1 && run.optimizer.epsilon == 1e-8 && run.optimizer.moments == .bfloat16)
    #expect(run.learningRate.phases == LearningRateSchedule.Phase.deepSeekV3)
    #expect(
      run.training.mtpLossWeight == .deepSeekV3MTPLossWeight && run.training.sequenceBalanceLoss == 1e-4)
    #expect(run.training.biasUpdateSpeed == .deepSeekV3BiasUpdateSpeed && run.training.recompute.isEmpty)
    #expect(TrainingSection().globalBatchSize == .deepSeekV3 && TrainingSection().sequenceLength == 4096)
    #expect(run.model.vocabSize == nil && run.training.threads == nil && run.totalSteps() == 10)
    #expect(run.runDirectory == "runs" && run.checkpointDirectory == "runs/checkpoints")
  }

  @Test func theResolvedFileReadsBackEqual() throws {
    let overrides = [
      "model.vocab_size=1000", "model.rope_scaling={factor: 4, original_max_position_embeddings: 32}",
      "data={train: [a b.bin, 'x: y'], validation: [v.bin], tokenizer: t.json}", "training.tokens=1.5M",
      "training.global_batch_size={from: 4, to: 8, over_tokens: 64K}", "training.recompute=[norms, swiglu]",
      "training.bias_update_speed=0.01", "training.threads=3", "optimizer.beta2=0.99",
      "learning_rate.phases=[{shape: linear, to: 1e-3, until_step: 5}, {shape: cosine, to: 1e-4}]",
      "precision.mode=float32", "parallel={pipeline: 1, data: 2, expert: 2}", "communication.timeout=5",
      "checkpoint.every=null",
      "checkpoint.directory=\"true\"",
      "evaluation.every=5", "evaluation.max_tokens=100K", "run.name=7",
    ]
    let run = try RunConfiguration.parse(yaml: smallRun, source: "a.yaml", overrides: overrides)
    #expect(run.data.train == ["a b.bin", "x: y"] && run.training.recompute == [.norms, .swiglu])
    #expect(run.checkpoint.directory == "true" && run.run.name == "7" && run.checkpoint.every == nil)
    #expect(try parse(run.yaml()) == run, "\(run.yaml())")
    let defaults = try parse()
    #expect(try parse(defaults.yaml()) == defaults, "\(defaults.yaml())")
  }

  @Test func overridesGoThroughTheSameChecks() throws {
    #expect(
      try parse(smallRun, "model.hidden_size=128", "model.hidden_size=256").model.shape.hiddenSize == 256)
    #expect(
      faultsOf(with: [
        "model.hiden_size=8", "optimizer.beta1=1", "trainig.steps=5", "training.steps", "a..b=1",
        "logging.every=[", "training.steps.more=1",
      ]) == [
        "--set training.steps: expected key.path=value, as in --set training.steps=100",
        "--set a..b=1: 'a..b' is no path of keys; write section.key=value",
        "--set logging.every: not valid YAML: did not find expected node content",
        "--set model.hiden_size: model.hiden_size: unknown key; did you mean hidden_size?",
        "--set training.steps.more: training.steps: expected an integer from 1 to 1000000000, found a mapping",
        "--set optimizer.beta1: optimizer.beta1: expected a number ≥ 0 and < 1, found '1'",
        "--set trainig.steps: trainig: unknown key; did you mean training?",
      ])
  }

  @Test func faultsNameFileLineAndKey() {
    let yaml = smallRun.replacing("hidden_size: 64", with: "hiden_size: 64")
    #expect(
      faultsOf(yaml, with: []) == [
        "a.yaml:2: model.hiden_size: unknown key; did you mean hidden_size?",
        "a.yaml:2: model.hidden_size: missing; width of the residual stream (V3: 7168)",
      ])
  }

  @Test(arguments: [
    ("training.sequence_length=129", "sequence_length (129) exceeds model.max_position_embeddings (128)"),
    ("model.num_nextn_predict_layers=32", "sequence_length (32) leaves nothing to predict at MTP depth 32"),
    ("training.global_batch_size=5", "global_batch_size (5) must be a multiple of micro_batch_size (2)"),
    (
      "training.global_batch_size={from: 4, to: 7, over_tokens: 1K}",
      "global_batch_size (7) must be a multiple"
    ),
    ("training.steps=null", "neither steps nor tokens is given; the run would not end"),
    ("training.tokens=0", "training.tokens: expected a number of tokens, at least 1, such as"),
    (
      "training.mtp_loss_weight=[{until_tokens: 0, value: 1}, {value: 2}]",
      "training.mtp_loss_weight.0.until_tokens: expected a number of tokens, at least 1"
    ),
    (
      "training.bias_update_speed=[{until_tokens: 0K, value: 1}, {value: 2}]",
      "training.bias_update_speed.0.until_tokens: expected a number of tokens, at least 1"
    ),
    (
      "learning_rate.phases=[{shape: constant, to: 1, until_tokens: 0}]",
      "learning_rate.phases.0.until_tokens: expected a number of tokens, at least 1"
    ),
    (
      "training.global_batch_size={from: 4, to: 8, over_tokens: 0}",
      "training.global_batch_size.over_tokens: over_tokens (0) leaves no ramp from 4 to 8"
    ),
    ("training.packed_weights=all", "expected one of none, forward, both; found 'all'"),
    ("training.recompute=[norms, norms]", "a part is named twice"),
    ("training.recompute=[attention]", "expected one of norms, up_projections, swiglu; found 'attention'"),
    ("training.non_finite=ignore", "expected one of stop, skip, roll_back; found 'ignore'"),
    ("training.non_finite_limit=0", "expected an integer from 1 to 1000000, found '0'"),
    ("training.balance_devices=3", "model.n_routed_experts (8) must be a multiple of balance_devices (3)"),
    ("data.synthetic=true", "more than one of directory, train and synthetic is given; keep one"),
    ("data={}", "no training data; give one of directory, train and synthetic: true"),
    ("data={synthetic: true}", "auto needs a tokenizer, which synthetic data has not; give a number"),
    ("data.tokenizer=t.json", "validation and tokenizer belong to train; directory holds its own"),
    (
      "precision.mode=float16",
      "float16 lacks the range for training; supported: float32, bfloat16, fp8"
    ),
    (
      "precision.fp8={weight_scales: power_of_two}",
      "precision.fp8: has no effect while mode is bfloat16; set mode to fp8, or leave the section out"
    ),
    (
      "precision={mode: fp8, fp8: {matrices: []}}",
      "names nothing; for no FP8 at all set precision.mode to float32 or bfloat16"
    ),
    ("precision={mode: fp8, fp8: {gemms: [fprop, fprop]}}", "something is named twice"),
    (
      "precision={mode: fp8, fp8: {gemms: [forward]}}",
      "expected one of fprop, dgrad, wgrad; found 'forward'"
    ),
    (
      "precision={mode: fp8, fp8: {bfloat16_first_layers: 60, bfloat16_last_layers: 60}}",
      "bfloat16_first_layers (60) and bfloat16_last_layers (60) are more than model.num_hidden_layers"
    ),
    ("precision={mode: fp8, fp8: {gemms: [wgrad], weight_scales: power_of_two}}", "without fprop or dgrad"),
    ("precision={mode: fp8, fp8: {gemms: [fprop], gradient_scales: power_of_two}}", "without dgrad or wgrad"),
    ("precision={mode: fp8, fp8: {matrices: [dense], attention_output: bfloat16}}", "without attention"),
    ("precision={mode: fp8, fp8: {matrices: [attention], swiglu_input: bfloat16}}", "without dense, shared"),
    ("precision={mode: fp8, fp8: {amax_floor: -1}}", "expected a number ≥ 0, found '-1'"),
    ("parallel.pipeline=0", "found '0'"),
    ("parallel.schedule=1f1b", "have no effect while pipeline is 1"),
    ("logging.trace=9-5", "must be a step, or steps as in 5-8; found '9-5'"),
    ("parallel={data: 2, expert: 4}", "expert (4) must divide data (2)"),
    ("parallel={expert: 3}", "expert (3) must divide model.n_routed_experts"),
    ("parallel={data: 4096, expert: 1}", "must be a multiple of training.micro_batch_size × data ranks"),
    ("communication.timeout=0", "expected a number > 0, found '0'"),
    (
      "precision={mode: fp8, fp8: {health_every: null, fall_back: warn}}",
      "fall_back: has no effect without a number of steps in health_every"
    ),
    (
      "precision={mode: fp8, fp8: {flushed_limit: 0.5}}",
      "flushed_limit: has no effect without warn or fall_back in fall_back"
    ),
    (
      "precision={mode: fp8, fp8: {shadow_limit: 0.5}}",
      "shadow_limit: has no effect without warn or fall_back in fall_back"
    ),
    (
      "precision={mode: fp8, fp8: {fall_back: warn, flushed_limit: 1}}",
      "expected a number ≥ 0 and < 1, found '1'"
    ),
    ("precision={mode: bfloat16, fp8: {health_every: 7}}", "has no effect while mode is bfloat16"),
    ("precision={mode: fp8, fp8: {health_every: 0}}", "expected an integer ≥ 1"),
    ("optimizer.name=sgd", "expected one of adamw; found 'sgd'"),
    ("evaluation.max_tokens=0", "must be at least 1; to never evaluate, set every: null"),
    ("run.name=a/b", "'a/b' is no name of a directory; put the path into run.directory"),
    ("training.mtp_loss_weight=[{value: 1}, {value: 2}]", "every step but the last needs until_tokens"),
    (
      "training.mtp_loss_weight=[{until_tokens: 5, value: 1}]",
      "the last step must have a value and no until_tokens"
    ),
    ("training.mtp_loss_weight=[]", "the last step must have a value and no until_tokens"),
    ("training.mtp_loss_weight=-0.1", "expected a number ≥ 0, found '-0.1'"),
    ("learning_rate.phases=[]", "needs at least one phase"),
    ("learning_rate.phases=[{shape: linear}]", "a linear phase needs the key to: its rate at the end"),
    ("learning_rate.phases=[{shape: constant}]", "a constant phase that is the first needs the key to"),
    ("learning_rate.phases=[{shape: step, to: 1}]", "expected one of linear, constant, cosine; found 'step'"),
    (
      "learning_rate.phases=[{shape: constant, to: 1}, {shape: constant, to: 2}]",
      "needs until_step or until_tokens"
    ),
    (
      "learning_rate.phases=[{shape: constant, from: 1, to: 2}]",
      "a constant phase goes neither from 1.0 nor to 2.0"
    ),
    (
      "learning_rate.phases=[{shape: constant, to: 1, until_step: 1, until_tokens: 1}]",
      "has both until_step and"
    ),
    (
      "learning_rate.phases=[{shape: constant, to: 1, until_step: 5}, {shape: linear, to: 0, until_step: 5}]",
      "until_step (5) must be greater than that of the phase before (5)"
    ),
    (
      "learning_rate.phases=[{shape: constant, to: x}]",
      "learning_rate.phases.0.to: expected a number ≥ 0, found 'x'"
    ),
    ("model=5", "expected a section with keys, found '5'"),
  ])
  func impossibleValues(override: String, message: String) {
    let found = faultsOf(with: [override])
    #expect(found.count == 1, "\(found)")
    #expect(found[0].contains(message), "\(found)")
  }

  @Test func packedWeightsAreNumbers() throws {
    let overrides = ["precision.mode=fp8", "training.packed_weights=both"]
    let found = faultsOf(with: overrides)
    #expect(
      found.count == 1 && found[0].contains("packed_weights (both) keeps panels of numbers"), "\(found)")
    #expect(faultsOf(with: [overrides[0]]).isEmpty && faultsOf(with: [overrides[1]]).isEmpty)
  }

  /// Readers of YAML 1.1 take 1e-06 for text, but 1.0e-06 for a number.
  @Test func writtenNumbersHaveAPoint() throws {
    let yaml = try parse().yaml()
    #expect(yaml.contains("  rms_norm_eps: 1.0e-06\n") && yaml.contains("  epsilon: 1.0e-08\n"))
  }

  @Test func vocabularyIsResolvedLater() throws {
    let run = try parse()
    #expect(try run.model.resolved(tokenizerVocabSize: 500).vocabSize == 500)
    let given = try parse(smallRun, "model.vocab_size=400")
    let ended = try parse(smallRun, "model.eos_token_id=7")
    #expect(try given.model.resolved(tokenizerVocabSize: nil).vocabSize == 400)
    let found = [
      faults { () throws(ConfigurationError) in _ = try run.model.resolved(tokenizerVocabSize: nil) },
      faults { () throws(ConfigurationError) in
        _ = try ended.model.resolved(tokenizerVocabSize: 7, endOfText: 7)
      },
      faults { () throws(ConfigurationError) in _ = try given.model.resolved(tokenizerVocabSize: 401) },
    ]
    #expect(
      found == [
        [
          "configuration: model.vocab_size: is auto, but there is no tokenizer to take it from; give a number"
        ],
        ["configuration: model.eos_token_id: eos_token_id (7) is not below vocab_size (7)"],
        ["configuration: model.vocab_size: (400) is less than the tokenizer's 401 tokens"],
      ])
  }

  @Test func endOfTextIsTheTokenizers() throws {
    for id: Int32 in [0, 499] {
      #expect(try parse().model.resolved(tokenizerVocabSize: 500, endOfText: id).eosTokenId == nil)
    }
    let written = try parse(smallRun, "model.eos_token_id=1", "model.bos_token_id=0").model
    #expect(try written.resolved(tokenizerVocabSize: 500).eosTokenId == 1)
    #expect(try written.resolved(tokenizerVocabSize: 500, endOfText: 1).eosTokenId == 1)
    let found = faults { () throws(ConfigurationError) in
      _ = try written.resolved(tokenizerVocabSize: 500, endOfText: 0)
    }
    #expect(
      found == [
        "configuration: model.eos_token_id: (1) is not the tokenizer's end-of-text token (0); leave it out, "
          + "or use the tokenizer that it belongs to"
      ])
  }

  @Test(arguments: [
    ("mtp_document_boundaries", "documents"),
    ("document_attention_mask", "end-of-text, so no documents"),
  ])
  func syntheticDataHasNoDocuments(key: String, missing: String) {
    let settings = ["data={synthetic: true}", "model.vocab_size=100", "training.\(key)=true"]
    #expect(
      faultsOf(with: settings) == [
        "--set training.\(key): training.\(key): synthetic data has no \(missing); leave \(key) false"
      ])
    #expect(faultsOf(with: Array(settings.prefix(2))) == [] && faultsOf(with: [settings[2]]) == [])
  }

  @Test func documentsAreToldApartWhereAsked() throws {
    #expect(try parse(smallRun).training.documentBoundaries == [])
    let masked = try parse(smallRun, "training.document_attention_mask=true")
    #expect(masked.training.documentBoundaries == .attention)
    let both = try parse(
      smallRun, "training.document_attention_mask=true", "training.mtp_document_boundaries=true")
    #expect(both.training.documentBoundaries == [.attention, .multiTokenPrediction])
    #expect(masked.yaml().contains("document_attention_mask: true"))
  }

  /// A ramp between equal sizes is a constant size, however long.
  @Test func aRampThatIsNone() throws {
    let run = try parse(smallRun, "training.global_batch_size={from: 4, to: 4, over_tokens: 0}")
    #expect(run.training.globalBatchSize == .constant(4))
  }

  @Test func theEndIsWhicheverComesFirst() throws {
    // 4 sequences of 32 tokens a step.
    #expect(try parse(smallRun, "training.tokens=640").totalSteps() == 5)
    #expect(try parse(smallRun, "training.tokens=641").totalSteps() == 6)
    #expect(try parse(smallRun, "training.tokens=1M").totalSteps() == 10)
    #expect(try parse(smallRun, "training.steps=null", "training.tokens=1280").totalSteps() == 10)
  }

  @Test func theLastPhaseFollowsTheLengthOfTheRun() throws {
    let phases = "learning_rate.phases=[{shape: linear, to: 1, until_step: 2}, {shape: linear, to: 0}]"
    let schedule = try parse(smallRun, phases).learningRateSchedule()
    #expect([1, 2, 6, 10].map { schedule.value(step: $0, tokens: 128 * $0) } == [0.5, 1, 0.5, 0])
  }
}
