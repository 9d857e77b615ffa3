package import Tensors

/// `y = x / √(mean(x²) + ε) · gain`, rows `x [T, D]`, `gain [D]` float32; statistics and sums in float32.
/// Source: Zhang and Sennrich, arXiv:1910.07467, equation 4.
package enum RMSNorm: Operation {
  package struct Inputs {
    package let x: Variable
    package let gain: Parameter
    package let epsilon: Float
    package let coding: RowCoding?

    /// - Parameter coding: of y, where its readers read codes.
    package init(x: Variable, gain: Parameter, epsilon: Float, coding: RowCoding? = nil) {
      (self.x, self.gain, self.epsilon, self.coding) = (x, gain, epsilon, coding)
    }
  }

  package static let name = "RMSNorm"

  package static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] }

  /// Saves `rstd [T]`.
  package static func forward(_ inputs: Inputs, recording: Bool) -> (output: RowsOutput, saved: Tensor) {
    let (x, gain) = (inputs.x.value, inputs.gain.master)
    guard let coding = inputs.coding else {
      let (y, rstd) = rmsNorm(x, gain: gain, epsilon: inputs.epsilon)
      return (.numbers(y), rstd)
    }
    let (y, rstd) = rmsNorm(x, gain: gain, epsilon: inputs.epsilon, coding)
    return (.coded(y), rstd)
  }

  package static func outputAgain(_ inputs: Inputs, _: Tensor) -> Tensor {
    rmsNorm(inputs.x.value, gain: inputs.gain.master, epsilon: inputs.epsilon).y
  }

  /// `dx = rstd · (g dy − x rstd² mean(g dy x))`; `dgain = Σ_t dy x rstd` comes from the same pass over dy and x.
  package static func inputGradient(
    _ dyTD: Tensor, _ inputs: Inputs, _ rstd: Tensor
  ) -> (gradients: [Tensor], carried: Tensor) {
    let (dx, dgain) = rmsNormGradient(dyTD, inputs.x.value, gain: inputs.gain.master, rstd: rstd)
    return ([dx], dgain)
  }

  package static func weightGradient(_ dyTD: Tensor, _ inputs: Inputs, _ rstd: Tensor, _ dgain: Tensor) {
    inputs.gain.gradientSums.add(dgain)
  }
}
