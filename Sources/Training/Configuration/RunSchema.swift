package import Model

extension RunConfiguration {
  /// All sections, and what must hold between them.
  package static let schema = Schema<RunConfiguration>(
    initial: RunConfiguration(),
    fields: [
      .init("model", \.model, .section(ModelSection.schema), required: .always, modelSummary),
      .init("data", \.data, .section(DataSection.schema), required: .always, "What is trained on."),
      .init(
        "training", \.training, .section(TrainingSection.schema), required: .always, "How it is trained."),
      .init("optimizer", \.optimizer, .section(OptimizerSection.schema), "How weights are updated."),
      .init(
        "learning_rate", \.learningRate, .section(LearningRateSection.schema), "The rate of those updates."),
      .init("precision", \.precision, .section(PrecisionSection.schema), "In which formats is computed."),
      .init(
        "parallel", \.parallel, .section(ParallelSection.schema), "How the work is divided among ranks."),
      .init(
        "communication", \.communication, .section(CommunicationSection.schema),
        "How ranks wait for each other."),
      .init("checkpoint", \.checkpoint, .section(CheckpointSection.schema), "When the run is saved."),
      .init("evaluation", \.evaluation, .section(EvaluationSection.schema), "When held-out data is tried."),
      .init("logging", \.logging, .section(LoggingSection.schema), "How often progress is shown."),
      .init("run", \.run, .section(RunSection.schema), "Where the files of the run go."),
    ], rules: rules)

  private static let modelSummary =
    "The shape of the model, under the names of HF's `config.json`, which can be pasted in."

  private static let rules: [Schema<RunConfiguration>.Rule] = [
    .init("training.sequence_length", "model.max_position_embeddings") {
      let longest = $0.model.shape.maxPositionEmbeddings
      return $0.training.sequenceLength <= longest
        ? nil
        : "sequence_length (\($0.training.sequenceLength)) exceeds model.max_position_embeddings (\(longest))"
    },
    .init("training.sequence_length", "model.num_nextn_predict_layers") {
      let depth = $0.model.shape.numNextnPredictLayers
      return $0.training.sequenceLength > depth
        ? nil
        : "sequence_length (\($0.training.sequenceLength)) leaves nothing to predict at MTP depth \(depth)"
    },
    .init("model.vocab_size", "data.synthetic") {
      $0.data.synthetic && $0.model.vocabSize == nil
        ? "auto needs a tokenizer, which synthetic data has not; give a number" : nil
    },
    .init("evaluation.every", "data.validation", "data.synthetic", "data.train") {
      guard $0.evaluation.every != nil, $0.data.directory == nil, $0.data.validation.isEmpty else {
        return nil
      }
      return "there is no validation data; give data.validation or set evaluation.every to null"
    },
    .init("training.mtp_document_boundaries", "data.synthetic") {
      $0.training.mtpDocumentBoundaries && $0.data.synthetic
        ? "synthetic data has no documents; leave mtp_document_boundaries false" : nil
    },
    .init("training.document_attention_mask", "data.synthetic") {
      $0.training.documentAttentionMask && $0.data.synthetic
        ? "synthetic data has no end-of-text, so no documents; leave document_attention_mask false" : nil
    },
    .init(
      "learning_rate.phases", "training.global_batch_size", "training.micro_batch_size",
      "training.sequence_length"
    ) { $0.faultOfPhaseEnds },
    .init("parallel.expert", "model.n_routed_experts") {
      let experts = $0.model.shape.nRoutedExperts
      guard let ranks = $0.parallel.expert, ranks > 1, !experts.isMultiple(of: ranks) else { return nil }
      return "expert (\(ranks)) must divide model.n_routed_experts (\(experts)): each rank holds as many"
    },
    .init("parallel.data", "training.global_batch_size", "training.micro_batch_size") {
      $0.parallel.data.flatMap($0.faultOfBatch)
    },
    .init("training.packed_weights", "precision.mode") {
      $0.training.packedWeights == .none || $0.precision.mode != .fp8
        ? nil
        : "packed_weights (\($0.training.packedWeights.rawValue)) keeps panels of numbers, but with precision.mode "
          + "fp8 products read codes; leave it none"
    },
    .init("precision.fp8", "model.num_hidden_layers") {
      $0.precision.mode == .fp8 ? $0.precision.fp8.fault(in: $0.model.shape) : nil
    },
    .init("training.balance_devices", "model.n_routed_experts", "model.n_group") {
      let devices = $0.training.balanceDevices ?? $0.model.shape.nGroup
      let experts = $0.model.shape.nRoutedExperts
      return experts.isMultiple(of: devices)
        ? nil : "model.n_routed_experts (\(experts)) must be a multiple of balance_devices (\(devices))"
    },
    .init(
      "training.communication_balance_loss", "training.balance_devices", "model.n_group", "model.topk_method"
    ) {
      guard $0.training.communicationBalanceLoss > 0, let devices = $0.training.balanceDevices else {
        return nil
      }
      let groups = $0.model.shape.routingGroups
      return devices == groups
        ? nil
        : "communication_balance_loss needs balance_devices (\(devices)) to be the routing groups (\(groups)): "
          + "a token may reach topk_group of them"
    },
  ]
}
