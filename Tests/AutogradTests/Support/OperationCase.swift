import Autograd
import Tensors

/// Double values of the leaves, by name.
typealias Numbers = [String: [Double]]

/// An operation under test: its leaves, how to record it, and what it should compute.
struct OperationCase {
  /// The operation's name, and which of its cases this is.
  let operation, title: String
  var leaves: [Leaf]
  /// How many float32 roundings a value may go through, the longest sum included.
  let roundings: Int
  /// The output's gradient; random when nil.
  let upstream: [Float]?
  /// Records the operation. `extra` is a further part of the objective: the balance losses.
  let record: (Graph) -> (output: Variable, extra: Double)
  /// The output, from the formula, in Double.
  let reference: (Numbers) -> [Double]
  /// The further part of the objective.
  let extraReference: (Numbers) -> Double

  init<Op: Operation>(
    _: Op.Type, _ variant: String = "", leaves: [Leaf], roundings: Int, upstream: [Float]? = nil,
    extra: @escaping (Op.Saved) -> Double = { _ in 0 },
    extraReference: @escaping (Numbers) -> Double = { _ in 0 },
    inputs: @escaping (Graph) -> Op.Inputs, reference: @escaping (Numbers) -> [Double]
  ) {
    (operation, title) = (Op.name, Self.title(Op.name, variant))
    (self.leaves, self.roundings, self.upstream) = (leaves, roundings, upstream)
    record = { graph in
      let (output, saved) = graph.tape.apply(Op.self, inputs(graph))
      return (output, extra(saved))
    }
    (self.reference, self.extraReference) = (reference, extraReference)
  }

  /// An operation of several outputs: `record` says what becomes of them.
  init<Op: Operation>(
    _: Op.Type, _ variant: String, leaves: [Leaf], roundings: Int, record: @escaping (Graph) -> Variable,
    reference: @escaping (Numbers) -> [Double]
  ) {
    (operation, title) = (Op.name, Self.title(Op.name, variant))
    (self.leaves, self.roundings, upstream) = (leaves, roundings, nil)
    self.record = { (record($0), 0) }
    (self.reference, extraReference) = (reference, { _ in 0 })
  }

  private static func title(_ name: String, _ variant: String) -> String {
    variant.isEmpty ? name : "\(name), \(variant)"
  }

  /// Every operation has at least one; a test holds this list against `allOperations`.
  static var all: [OperationCase] {
    rowCases + denseCases + headCases + routerCases + expertsCases + attentionCases
  }

  static func named(_ title: String) -> OperationCase { all.first { $0.title == title }! }

  var numbers: Numbers {
    Dictionary(uniqueKeysWithValues: leaves.map { ($0.name, $0.values.map(Double.init)) })
  }

  func upstream(count: Int) -> [Float] { upstream ?? randomNumbers(count, title + " upstream") }

  /// Runs forward and backward.
  func run(
    on device: Device, compute: DType = .float32,
    backward: (Graph, Variable, Tensor) -> Void = { $0.tape.backward(from: [($1, $2)]) }
  ) -> (output: [Float], extra: Double, gradients: [[Float]]) {
    let graph = Graph(leaves, compute: compute, on: device)
    let (output, extra) = record(graph)
    let dy = Tensor(output.value.shape, upstream(count: output.value.count), on: device)
    let numbers = output.value.numbers  // backward gives the value back
    backward(graph, output, dy.converted(to: output.value.dtype))
    return (numbers, extra, leaves.map { graph.gradient($0)! })
  }

  /// The slope of Σ upstream · output + extra along one element of a leaf: a central difference. With h =
  /// 1e-5 and functions of curvature about 1 it is right to 1e-10, far below what float32 can tell.
  func slope(_ leaf: Leaf, _ element: Int, _ upstream: [Float]) -> Double {
    func objective(_ numbers: Numbers) -> Double {
      zip(reference(numbers), upstream).reduce(extraReference(numbers)) { $0 + $1.0 * Double($1.1) }
    }
    let h = 1e-5
    var (above, below) = (numbers, numbers)
    above[leaf.name]![element] += h
    below[leaf.name]![element] -= h
    return (objective(above) - objective(below)) / (2 * h)
  }
}
