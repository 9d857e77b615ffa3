internal import Autograd
internal import Tensors

/// What the layers of a model add to, `x [T, D]`: the sum so far, and the branches that the next norm adds while it
/// reads them.
struct ResidualStream {
  private var sum: Variable
  private var branches: [Variable] = []

  init(_ x: Variable) { sum = x }

  /// Puts a branch down to be added.
  mutating func add(_ branch: Variable) { branches.append(branch) }

  /// Adds the branches to the sum, and normalizes it.
  /// - Parameters:
  ///   - coding: of the result, where its readers read codes.
  ///   - travels: whether it goes to other ranks.
  mutating func normalized(
    _ gain: Parameter, _ epsilon: Float, _ context: ForwardContext, coding: RowCoding? = nil,
    travels: Bool = false
  ) -> Variable {
    let inputs = ResidualNorm.Inputs(
      x: sum, branches: branches, gain: gain, epsilon: epsilon, coding: coding, travels: travels)
    let (y, saved) = context.tape.apply(ResidualNorm.self, inputs)
    // The sum holds them: nothing reads a branch's own value again.
    for branch in branches { branch.forget() }
    (sum, branches) = (saved.sum, [])
    return y
  }

  /// Adds the branches to the sum, from which another stage goes on.
  func closed(_ context: ForwardContext) -> Variable {
    if branches.isEmpty { return sum }
    let closed = context.tape.apply(ResidualSum.self, (sum, branches)).output
    for branch in branches { branch.forget() }
    return closed
  }

  /// The sum with the branches that wait; for observers.
  var value: Tensor { total([sum.value] + branches.map(\.value)) }
}

/// The sum of tensors of one shape; for observers.
func total(_ terms: [Tensor]) -> Tensor { terms.dropFirst().reduce(terms[0]) { add($0, $1) } }
