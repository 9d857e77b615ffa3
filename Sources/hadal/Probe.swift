internal import ArgumentParser
internal import Checkpoint
internal import Model
internal import Tensors
internal import Training

/// `hadal probe`: what the model computes, for comparing numbers with other software.
struct Probe: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a Hugging Face model directory on given tokens and writes what it computes.",
    discussion: """
      OUT gets logits [B, S, V], loss (mean cross-entropy of the next token, in nats), and for each layer with
      experts routing.<layer>.indices (ascending) and .weights; with --mtp-weight also loss_mtp; with --gradients
      also grad.<name> of loss + W * loss_mtp.
      """)

  @Option(help: "Directory with config.json and *.safetensors.") var model: String

  @Option(help: "A safetensors file with input_ids [B, S], int64.") var input: String

  @Option(help: "The safetensors file to write.") var output: String

  @Option(help: "What matrices are multiplied in; fp8 as the defaults of the configuration have it.")
  var precision = PrecisionSection.Mode.float32

  @Flag(help: "Also write the gradient of every parameter.") var gradients = false

  @Option(help: "W: also run the modules of multi-token prediction, with this weight.") var mtpWeight: Double?

  func run() throws {
    let weight = try checkedWeight()
    let precision = PrecisionSection(mode: precision)
    let weights = ProbeWeights(model: try HuggingFaceModel(model))
    let shape = weights.model.configuration
    if weight != nil { try weights.requireModules() }
    let batch = try ProbeInput(path: input).batch(
      shape, depths: weight == nil ? 0 : shape.numNextnPredictLayers)
    let file = try ProbeOutput(path: output)
    try weights.checkSize(precision, multiTokenPrediction: weight != nil, gradients: gradients)
    let network = DeepSeek(
      shape, compute: precision.mode.dtype, float8: Float8Policy(precision),
      multiTokenPrediction: weight != nil, on: try ProcessDevice.make())
    try weights.load(into: network)
    for warning in weights.warnings(network) { Console.note("warning: \(warning)") }
    try file.write(ProbeRun(network, multiTokenWeight: weight, gradients: gradients).results(batch))
  }

  private func checkedWeight() throws(OptionError) -> Double? {
    guard let mtpWeight else { return nil }
    guard mtpWeight >= 0, mtpWeight.isFinite else {
      throw OptionError(option: "--mtp-weight", reason: "\(mtpWeight) must be a finite number of at least 0")
    }
    return mtpWeight
  }
}

extension PrecisionSection.Mode: ExpressibleByArgument {}

/// Why a probe is refused, beside faults of the configuration and of the weights, which have their own types.
struct ProbeError: Error, CustomStringConvertible {
  /// The file or directory.
  let path: String
  let message: String

  var description: String { "\(path): \(message)" }
}
