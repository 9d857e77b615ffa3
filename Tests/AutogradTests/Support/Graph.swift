import Autograd
import Numerics
import Tensors

/// An array that an operation under test reads.
struct Leaf {
  enum Role { case variable, parameter }

  let name: String
  let role: Role
  let shape: [Int]
  var values: [Float]
  /// Stored as float32 in every precision, as a router's weights are.
  var isAlwaysFloat32 = false

  static func variable(_ name: String, _ shape: [Int], scale: Float = 1, seed: String = "") -> Leaf {
    let values = randomNumbers(shape.reduce(1, *), name + seed, scale: scale)
    return Leaf(name: name, role: .variable, shape: shape, values: values)
  }

  static func parameter(_ name: String, _ shape: [Int], scale: Float = 1, seed: String = "") -> Leaf {
    let values = randomNumbers(shape.reduce(1, *), name + seed, scale: scale)
    return Leaf(name: name, role: .parameter, shape: shape, values: values)
  }

  /// The same with values that bfloat16 holds exactly, so that two precisions start from the same numbers.
  func rounded() -> Leaf {
    var leaf = self
    if !isAlwaysFloat32 { leaf.values = values.map { Float(BFloat16($0)) } }
    return leaf
  }
}

/// Leaves on a device, and a tape.
final class Graph {
  let device: Device
  let tape: Tape
  private var variables: [String: Variable] = [:]
  private var parameters: [String: Parameter] = [:]

  /// - Parameter float8: for parameters that are read as codes.
  init(_ leaves: [Leaf], compute: DType = .float32, float8: Float8Settings? = nil, on device: Device) {
    self.device = device
    tape = Tape(on: device)
    for leaf in leaves {
      switch leaf.role {
      case .variable:
        let tensor = Tensor(leaf.shape, leaf.values, on: device)
        variables[leaf.name] = Variable(tensor.converted(to: leaf.isAlwaysFloat32 ? .float32 : compute))
      case .parameter:
        let part = Parameter.Part(name: leaf.name, offset: 0, shape: leaf.shape)
        let parameter = Parameter(
          name: leaf.name, parts: [part], shape: leaf.shape, compute: compute, float8: float8,
          period: leaf.shape.dropLast().last, on: device)
        parameter.master.convert(from: Tensor(leaf.shape, leaf.values, on: device))
        parameter.masterDidChange()
        parameters[leaf.name] = parameter
      }
    }
  }

  func variable(_ name: String) -> Variable { variables[name]! }
  func parameter(_ name: String) -> Parameter { parameters[name]! }

  /// The gradient that a leaf has received, as float32; nil when none arrived.
  func gradient(_ leaf: Leaf) -> [Float]? {
    let gradient =
      switch leaf.role {
      case .variable: variables[leaf.name]?.gradient
      case .parameter: parameters[leaf.name]?.gradient
      }
    guard let gradient else { return nil }
    precondition(gradient.shape == leaf.shape, "gradient \(gradient.shape) of \(leaf.name) \(leaf.shape)")
    return gradient.numbers
  }
}

extension Tensor {
  /// The elements as float32 numbers.
  var numbers: [Float] {
    let converted = converted(to: .float32)
    return withExtendedLifetime(converted) { Array(converted.floats) }
  }
}
