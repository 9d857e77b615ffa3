package import Autograd
package import Tensors

/// Makes a model's parameters and remembers them in a fixed order: no reflection.
package final class ParameterFactory {
  package let device: Device
  /// What matrices are read in; norm gains, routers and biases stay float32.
  package let compute: DType
  package private(set) var parameters: [Parameter] = []
  /// The routers' biases: float32, outside of the optimizer, saved with the checkpoint.
  package private(set) var buffers: [NamedTensor] = []
  /// Layers with matrices that are read as codes.
  private(set) var float8Layers: [Float8Layer] = []

  /// Which matrices are read as codes; nil for none.
  private let float8: Float8Policy?
  /// The products for which panels of matrices are kept.
  private let packedLayouts: [Layout]
  /// How many layers the main model has.
  private let layers: Int

  /// The experts of a layer that are made here.
  let share: ExpertShare

  package init(
    on device: Device, compute: DType, float8: Float8Policy? = nil, packedFor layouts: [Layout] = [],
    layers: Int, share: ExpertShare = .all
  ) {
    precondition(float8 == nil || compute == .bfloat16, "beside FP8 there is bfloat16, not \(compute)")
    (self.device, self.compute) = (device, compute)
    (self.float8, packedLayouts, self.layers, self.share) = (float8, layouts, layers, share)
  }

  /// How a group of a layer's matrices is multiplied in FP8; nil for not.
  func float8(_ group: Float8Policy.MatrixGroup, layer: Int) -> Float8Settings? {
    float8?.settings(for: group, layer: layer, of: layers)
  }

  /// Makes the parts of a layer, and notes which of its matrices are read as codes.
  func layer<Part>(_ number: Int, _ make: () -> Part) -> Part {
    let first = parameters.count
    let part = make()
    let matrices = parameters[first...].filter { $0.declaredFloat8 != nil }
    if !matrices.isEmpty { float8Layers.append(Float8Layer(number: number, matrices: matrices)) }
    return part
  }

  /// One tensor of the checkpoint, `[N, K]`, that is not read by products of rows with a weight, or so small (a router)
  /// that panels of it are not worth keeping.
  func matrix(_ name: String, _ shape: [Int], compute: DType? = nil) -> Parameter {
    let part = Parameter.Part(name: name + ".weight", offset: 0, shape: shape)
    return register(
      Parameter(name: name, parts: [part], shape: shape, compute: compute ?? self.compute, on: device))
  }

  /// One tensor of the checkpoint that rows are multiplied with, `[N, K]`.
  func projection(_ name: String, _ shape: [Int], _ float8: Float8Settings?) -> Projection {
    let part = Parameter.Part(name: name + ".weight", offset: 0, shape: shape)
    let weight = Parameter(
      name: name, parts: [part], shape: shape, compute: compute, float8: float8, packedFor: packedLayouts,
      on: device)
    return Projection(weight: register(weight))
  }

  /// A norm's gain, `[D]`.
  func gain(_ name: String, _ width: Int) -> Parameter { matrix(name, [width], compute: .float32) }

  /// Gate and up projection in one array `[2I, D]`, gate first.
  func gateUp(_ prefix: String, inner: Int, width: Int, _ float8: Float8Settings?) -> Projection {
    let parts = Self.gateUpParts(prefix, at: 0, inner: inner, width: width)
    let weight = Parameter(
      name: prefix + ".gate_up_proj", parts: parts, shape: [2 * inner, width], compute: compute,
      float8: float8, packedFor: packedLayouts, period: Self.gateUpPeriod(inner), on: device)
    return Projection(weight: register(weight))
  }

  /// Blocks of 128 rows are those of either projection, as in the released weights, unless the last one is short: then
  /// a product over these rows could not go by tiles, and blocks go through both.
  static func gateUpPeriod(_ inner: Int) -> Int {
    inner.isMultiple(of: QuantizedTensor.tile) ? inner : 2 * inner
  }

  /// Gate and up projections of some experts, `[E, 2I, D]`.
  func expertGateUp(
    _ prefix: String, _ experts: Range<Int>, inner: Int, width: Int, _ float8: Float8Settings?
  ) -> Parameter {
    let parts = experts.enumerated().flatMap { at, e in
      Self.gateUpParts("\(prefix).\(e)", at: at * 2 * inner * width, inner: inner, width: width)
    }
    let (name, shape) = (prefix + ".gate_up_proj", [experts.count, 2 * inner, width])
    return register(
      Parameter(
        name: name, parts: parts, shape: shape, compute: compute, float8: float8,
        packedFor: packedLayouts, period: Self.gateUpPeriod(inner), isOfExperts: true, on: device))
  }

  /// Down projections of some experts, `[E, D, I]`.
  func expertDown(
    _ prefix: String, _ experts: Range<Int>, inner: Int, width: Int, _ float8: Float8Settings?
  ) -> Parameter {
    let parts = experts.enumerated().map { at, e in
      Parameter.Part(
        name: "\(prefix).\(e).down_proj.weight", offset: at * inner * width, shape: [width, inner])
    }
    let (name, shape) = (prefix + ".down_proj", [experts.count, width, inner])
    return register(
      Parameter(
        name: name, parts: parts, shape: shape, compute: compute, float8: float8, packedFor: packedLayouts,
        period: width, isOfExperts: true, on: device))
  }

  /// A float32 array that no gradient reaches; zeros at first.
  func buffer(_ name: String, _ count: Int) -> Tensor {
    let tensor = Tensor.zeros([count], on: device)
    buffers.append(NamedTensor(name: name, tensor: tensor))
    return tensor
  }

  private func register(_ parameter: Parameter) -> Parameter {
    parameters.append(parameter)
    return parameter
  }

  private static func gateUpParts(
    _ prefix: String, at offset: Int, inner: Int, width: Int
  ) -> [Parameter.Part] {
    ["gate_proj", "up_proj"].enumerated().map { i, name in
      Parameter.Part(
        name: "\(prefix).\(name).weight", offset: offset + i * inner * width, shape: [inner, width])
    }
  }
}
