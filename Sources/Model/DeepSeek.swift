package import Autograd
package import Tensors

/// The model, or the stages of it that this rank of a pipeline holds: embedding, blocks, final norm, head, and the
/// multi-token-prediction modules beside them. Source: DeepSeek-V3, arXiv:2412.19437, §2; tensor names are those of HF `deepseek_v3`.
package final class DeepSeek {
  package let configuration: ModelConfiguration
  package let device: Device
  package let parameters: [Parameter]
  /// Runs of `parameters` in the order in which forward reads them: embedding, each block, final norm and head, each
  /// module of multi-token prediction. Backward is done with one after the other from the end, but with the last
  /// norm's after the modules'; the embedding, and the head, are read by the modules too. Empty where they are not held.
  package let segments: [Range<Int>]
  /// Router biases by name.
  package let buffers: [NamedTensor]
  package let predictors: [MultiTokenPrediction]
  /// What activations are stored in.
  package let compute: DType
  /// Depths of multi-token prediction of the whole model.
  package let depths: Int
  /// Layers with matrices that were made to be multiplied in FP8, main ones first.
  package let float8Layers: [Float8Layer]
  /// By layer; nil where another rank holds it.
  private let blocks: [Block?]
  private let embedding, finalNorm, head: Parameter?
  private var tables: [Int: RotaryTable] = [:]

  /// - Parameters:
  ///   - compute: what matrices and activations are stored in.
  ///   - float8: which matrices are multiplied in FP8; nil for none. The rest is bfloat16 then.
  ///   - layouts: the products for which panels of weights are kept between updates; not with `float8`.
  ///   - share: the experts that this rank holds.
  ///   - multiTokenPrediction: whether the modules beside the main model are built.
  ///   - stages: what of the model is built, each part once; nil for all.
  package init(
    _ configuration: ModelConfiguration, compute: DType, float8: Float8Policy? = nil,
    packedFor layouts: [Layout] = [], share: ExpertShare = .all, multiTokenPrediction: Bool = true,
    stages: [StageContents]? = nil, on device: Device
  ) {
    let c = configuration
    let held = Set((stages ?? [.whole(c)]).flatMap { $0.segments(of: c) })
    let (headSegment, modules) = (c.numHiddenLayers + 1, multiTokenPrediction ? c.numNextnPredictLayers : 0)
    let factory = ParameterFactory(
      on: device, compute: compute, float8: float8, packedFor: layouts, layers: c.numHiddenLayers,
      share: share)
    var ends: [Int] = []
    /// The parts of the next segment, where they are held.
    func segment<Part>(_ make: () -> Part) -> Part? {
      defer { ends.append(factory.parameters.count) }
      return held.contains(ends.count) ? make() : nil
    }
    embedding = segment { factory.matrix("model.embed_tokens", [c.vocabSize, c.hiddenSize]) }
    blocks = (0..<c.numHiddenLayers).map { layer in
      segment { factory.layer(layer) { Block(c, layer: layer, factory, prefix: "model.layers.\(layer)") } }
    }
    precondition(ends.count == headSegment, "\(ends.count) segments before the head")
    let last = segment {
      (
        norm: factory.gain("model.norm", c.hiddenSize),
        head: factory.projection("lm_head", [c.vocabSize, c.hiddenSize], nil).weight
      )
    }
    (finalNorm, head) = (last?.norm, last?.head)
    predictors = (0..<modules).compactMap { index in
      segment {
        factory.layer(c.numHiddenLayers + index) { MultiTokenPrediction(c, depth: index + 1, factory) }
      }
    }
    segments = zip([0] + ends, ends).map { $0..<$1 }
    (self.configuration, self.device, self.compute, depths) = (configuration, device, compute, modules)
    (parameters, buffers, float8Layers) = (factory.parameters, factory.buffers, factory.float8Layers)
  }

  /// Layers with experts that are held, main ones first.
  package var expertLayers: [MixtureOfExperts] {
    (blocks.compactMap { $0 } + predictors.map(\.block)).compactMap(\.experts)
  }

  /// Whether routers have biases, here or on other ranks of a pipeline.
  package var hasRouterBiases: Bool { configuration.hasRouterBias && !expertLayerNumbers.isEmpty }

  /// The numbers of all layers with experts of the whole model, main ones first.
  package var expertLayerNumbers: [Int] {
    (0..<blocks.count + depths).filter(configuration.isMixtureOfExperts)
  }

  /// cos and sin for positions below `length`; made once a length.
  package func rotaryTable(_ length: Int) -> RotaryTable {
    if let table = tables[length] { return table }
    let table = RotaryTable(
      positions: length, frequencies: configuration.ropeInverseFrequencies(),
      magnitude: configuration.attentionFactor, on: device)
    tables[length] = table
    return table
  }

  /// The hidden states after the final norm, `[B·S, D]`.
  package func hiddenStates(_ ids: [Int32], _ context: ForwardContext) -> Variable {
    var stream = stream(.whole(configuration), ids, from: nil, context)
    return finalStates(&stream, context)
  }

  /// The residual stream after the layers of a stage.
  /// - Parameter input: what the stage before has made, `[B·S, D]`; nil for the first one, which reads the tokens.
  private func stream(
    _ stage: StageContents, _ ids: [Int32], from input: Variable?, _ context: ForwardContext
  ) -> ResidualStream {
    precondition(stage.hasEmbedding == (input == nil), "\(stage) begins with tokens, and only it")
    var stream: ResidualStream
    if let input {
      stream = ResidualStream(input)
    } else {
      context.begin(0)
      stream = ResidualStream(context.tape.apply(Embedding.self, (ids, here(embedding))).output)
      context.observe?("embed", stream.value)
    }
    for layer in stage.layers {
      context.begin(layer + 1)
      here(blocks[layer])(&stream, context)
    }
    return stream
  }

  private func finalStates(_ stream: inout ResidualStream, _ context: ForwardContext) -> Variable {
    context.begin(blocks.count + 1)
    let y = stream.normalized(here(finalNorm), configuration.rmsNormEps, context)
    context.observe?("final_norm", y.value)
    context.cache?.count += context.length
    return y
  }

  private func here<Part>(_ part: Part?) -> Part {
    guard let part else { preconditionFailure("a stage reads a \(Part.self) that is on another rank") }
    return part
  }

  /// Logits of hidden states, `[T, V]` float32. For probing and sampling; training never holds them all.
  package func logits(_ hidden: Tensor) -> Tensor {
    let head = here(head)
    return matmul(hidden, head.value, .nt, output: .float32, packed: head.packed)
  }

  /// The most likely next token at each position, chunk by chunk.
  package func mostLikely(_ hidden: Tensor) -> [Int32] {
    let chunk = 256
    return stride(from: 0, to: hidden.rows, by: chunk).flatMap { begin in
      let rows = min(chunk, hidden.rows - begin)
      return largestColumns(logits(hidden.view(at: begin * hidden.columns, [rows, hidden.columns])))
    }
  }

  /// Forward pass and losses of a micro-batch through the whole model.
  ///
  /// - Returns: the roots of the backward pass (each with gradient 1), what the tokens' losses add up to, and what
  ///   the head read: the hidden states after the final norm, then those of each depth.
  package func losses(
    _ batch: MicroBatch, _ objective: Objective, _ context: ForwardContext
  ) -> (roots: [Variable], sums: LossSums, hidden: [Tensor]) {
    losses(of: .whole(configuration), batch, from: nil, objective, context)
  }

  /// What a stage that is not the last one makes of a micro-batch: the residual stream, `[B·S, D]`.
  /// - Parameter input: what the stage before has made; nil for the first one.
  package func hiddenStates(
    of stage: StageContents, _ batch: MicroBatch, from input: Variable?, _ context: ForwardContext
  ) -> Variable {
    precondition(!stage.hasHead, "\(stage) ends in losses")
    return stream(stage, batch, from: input, context).closed(context)
  }

  /// ``losses(_:_:_:)`` of the last stage.
  package func losses(
    of stage: StageContents, _ batch: MicroBatch, from input: Variable?, _ objective: Objective,
    _ context: ForwardContext
  ) -> (roots: [Variable], sums: LossSums, hidden: [Tensor]) {
    precondition(stage.hasHead, "\(stage) ends before the head")
    var stream = stream(stage, batch, from: input, context)
    var sums = LossSums(depths: depths)
    var hidden = finalStates(&stream, context)
    var all: [Tensor] = []
    var roots: [Variable] = []
    for depth in 0...depths {
      var labels = batch.labels
      if depth > 0 {
        // Of a pipeline, another stage may have begun with the embedding.
        context.willRead?(0)
        context.begin(blocks.count + 1 + depth)
        let shifted = batch.shifted(by: depth)
        labels = shifted.labels
        hidden = predictors[depth - 1](
          hidden, ids: shifted.ids, keeps: shifted.keeps, embedding: here(embedding), context)
      }
      all.append(hidden.value)
      let (loss, sum) = headLoss(hidden, labels, scale: objective.tokenScale(depth: depth), context)
      roots.append(loss)
      sums.tokens[depth] = sum
    }
    sums.balance = context.routing.reduce(0) { $0 + $1.balanceLoss }
    return (roots, sums, all)
  }

  private func stream(
    _ stage: StageContents, _ batch: MicroBatch, from input: Variable?, _ context: ForwardContext
  ) -> ResidualStream {
    context.documents = batch.firstSeen.map { Tensor([$0.count], $0, on: device) }
    return stream(stage, batch.inputs, from: input, context)
  }

  private func headLoss(
    _ hidden: Variable, _ labels: [Int32], scale: Float, _ context: ForwardContext
  ) -> (Variable, Double) {
    let inputs = CrossEntropyHead.Inputs(
      h: hidden, weight: here(head), labels: Tensor([labels.count], labels, on: device),
      scale: Tensor([labels.count], [Float](repeating: scale, count: labels.count), on: device))
    let (loss, saved) = context.tape.apply(CrossEntropyHead.self, inputs)
    return (loss, saved.losses.sum())
  }
}

@available(*, unavailable)
extension DeepSeek: Sendable {}

extension DeepSeek {
  /// Brings what is made from the weights up to date: after each update of master weights and rounded copies.
  package func weightsDidChange() {
    for parameter in parameters { parameter.numbersDidChange() }
  }

  /// Fills the weights by `fill`, and brings what operations read up to date.
  package func loadWeights<Failure: Error>(
    _ fill: ([NamedTensor]) throws(Failure) -> Void
  ) throws(Failure) {
    try fill(namedTensors)
    for parameter in parameters { parameter.masterDidChange() }
  }

  /// Everything that a checkpoint of the weights holds, under its checkpoint name, float32.
  package var namedTensors: [NamedTensor] {
    parameters.flatMap { parameter in
      parameter.parts.map { NamedTensor(name: $0.name, tensor: parameter.master(of: $0)) }
    } + buffers
  }
}
