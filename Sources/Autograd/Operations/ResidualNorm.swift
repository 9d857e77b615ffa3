package import Tensors

/// The residual stream and the norm that reads it, in one pass: `s = x + Σ branches`,
/// `y = s / √(mean(s²) + ε) · gain`. The output is y; s is a further output, from which the stream goes on.
///
/// Rows `x, branches [T, D]`, `gain [D]` float32; one or two branches, or none: then s is x. The sum is rounded once;
/// statistics and sums in float32. Only y can be forgotten; it is computed again from s.
/// Source: Zhang and Sennrich, arXiv:1910.07467, equation 4.
package enum ResidualNorm: Operation {
  package struct Inputs {
    package let x: Variable
    package let branches: [Variable]
    package let gain: Parameter
    package let epsilon: Float
    package let coding: RowCoding?
    package let travels: Bool

    /// - Parameters:
    ///   - coding: of y, where its readers read codes.
    ///   - travels: whether y goes to other ranks.
    package init(
      x: Variable, branches: [Variable], gain: Parameter, epsilon: Float, coding: RowCoding? = nil,
      travels: Bool = false
    ) {
      (self.x, self.branches, self.gain, self.epsilon) = (x, branches, gain, epsilon)
      (self.coding, self.travels) = (coding, travels)
    }
  }

  package struct Saved {
    /// s.
    package let sum: Variable
    fileprivate let rstd: Tensor
  }

  package static let name = "residual RMSNorm"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] + inputs.branches }

  package static func furtherOutputs(_ saved: Saved) -> [Variable] { [saved.sum] }

  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: RowsOutput, saved: Saved) {
    let (x, branches) = (inputs.x.value, inputs.branches.map(\.value))
    let (gain, epsilon, travels) = (inputs.gain.master, inputs.epsilon, inputs.travels)
    switch (branches.isEmpty, inputs.coding) {
    case (true, nil):
      let (y, rstd) = rmsNorm(x, gain: gain, epsilon: epsilon, travels: travels)
      return (.numbers(y), Saved(sum: Variable(x), rstd: rstd))
    case (true, let coding?):
      let (y, rstd) = rmsNorm(x, gain: gain, epsilon: epsilon, coding, travels: travels)
      return (.coded(y), Saved(sum: Variable(x), rstd: rstd))
    case (false, nil):
      let (sum, y, rstd) = residualNorm(x, branches, gain: gain, epsilon: epsilon, travels: travels)
      return (.numbers(y), Saved(sum: Variable(sum), rstd: rstd))
    case (false, let coding?):
      let (sum, y, rstd) = residualNorm(
        x, branches, gain: gain, epsilon: epsilon, coding, travels: travels)
      return (.coded(y), Saved(sum: Variable(sum), rstd: rstd))
    }
  }

  package static func outputAgain(_ inputs: Inputs, _ saved: Saved) -> Tensor {
    rmsNorm(saved.sum.value, gain: inputs.gain.master, epsilon: inputs.epsilon).y
  }

  /// `dx = dbranch = ds + rstd · (g dy − s rstd² mean(g dy s))`, in the memory of ds where nobody else reads that;
  /// `dgain = Σ_t dy s rstd` comes from the same pass.
  package static func inputGradient(
    _ dyTD: Tensor, _ inputs: Inputs, _ saved: Saved
  ) -> (gradients: [Tensor], carried: Tensor) {
    var ds = saved.sum.takeGradient()
    let isOurs = ds?.isUniquelyOwned() ?? false
    let (dx, dgain) = rmsNormGradient(
      dyTD, saved.sum.value, gain: inputs.gain.master, rstd: saved.rstd, residual: ds, into: isOurs ? ds : nil
    )
    return (variables(inputs).map { _ in dx }, dgain)
  }

  package static func weightGradient(_ dyTD: Tensor, _ inputs: Inputs, _ saved: Saved, _ dgain: Tensor) {
    inputs.gain.gradientSums.add(dgain)
  }
}
