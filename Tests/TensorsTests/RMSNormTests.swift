import Tensors
import Testing

/// RMSNorm and its gradients against Double.
struct RMSNormTests {
  private static let epsilon: Float = 0.01

  /// Widths below, at and above the vector lengths, none but 16 a multiple of it.
  /// Rows below and above the 32 whose gain gradients are summed at once.
  @Test(arguments: Kernel.all, [(1, 23), (7, 32), (16, 70), (131, 23)])
  func forwardAndGradients(_ kernel: Kernel, _ size: (width: Int, rows: Int)) throws {
    let (width, rows, device) = (size.width, size.rows, try kernel.device())
    let x = Sample([rows, width], kernel.dtype, "norm x")
    let dy = Sample([rows, width], kernel.dtype, "norm dy")
    let gain = Sample([width], .float32, "norm gain")
    let residual = Sample([rows, width], kernel.dtype, "norm residual")
    var (y, dx, rstd) = ([Double](), [Double](), [Double]())
    var dgain = [Double](repeating: 0, count: width)
    for t in 0..<rows {
      let row = t * width..<(t + 1) * width
      let mean = row.reduce(0) { $0 + x[$1] * x[$1] } / Double(width)
      let scale = 1 / (mean + Double(Self.epsilon)).squareRoot()
      rstd.append(scale)
      let dot = row.reduce(0) { $0 + gain[$1 - row.lowerBound] * dy[$1] * x[$1] } / Double(width)
      for i in row {
        let g = gain[i - row.lowerBound]
        y.append(x[i] * scale * g)
        dx.append(scale * (g * dy[i] - x[i] * scale * scale * dot))
        dgain[i - row.lowerBound] += dy[i] * x[i] * scale
      }
    }
    let (xT, dyT, gainT) = (x.tensor(on: device), dy.tensor(on: device), gain.tensor(on: device))
    let found = rmsNorm(xT, gain: gainT, epsilon: Self.epsilon)
    #expect(firstDifference(found.y, y, roundings: width + 6) == nil, "y")
    #expect(firstDifference(found.rstd, rstd, roundings: width + 4) == nil, "rstd")
    let gradient = rmsNormGradient(dyT, xT, gain: gainT, rstd: found.rstd)
    #expect(firstDifference(gradient.dx, dx, roundings: width + 12) == nil, "dx")
    #expect(firstDifference(gradient.dgain, dgain, roundings: rows + 4) == nil, "dgain")
    let added = zip(dx, residual.doubles).map { $0 + $1 }
    let residualT = residual.tensor(on: device)
    for target in [nil, residualT] {
      let joint = rmsNormGradient(
        dyT, xT, gain: gainT, rstd: found.rstd, residual: residualT, into: target)
      #expect(firstDifference(joint.dx, added, roundings: width + 13) == nil, "dx + residual")
      #expect(joint.dgain.numbers == gradient.dgain.numbers)
    }
  }

  /// The sum is rounded once, and its norm has the bits of a norm that is computed from it again.
  @Test(arguments: Kernel.all, [1, 7, 16, 131])
  func residualSum(_ kernel: Kernel, width: Int) throws {
    let (rows, device) = (9, try kernel.device())
    let terms = ["x", "a", "b"].map { Sample([rows, width], kernel.dtype, "residual " + $0) }
    let gain = Sample([width], .float32, "residual gain").tensor(on: device)
    let tensors = terms.map { $0.tensor(on: device) }
    for count in 1...2 {
      let expected = (0..<rows * width).map { i in terms[...count].reduce(0) { $0 + $1[i] } }
      let found = residualNorm(
        tensors[0], Array(tensors[1...count]), gain: gain, epsilon: Self.epsilon)
      #expect(firstDifference(found.sum, expected, roundings: 2) == nil)
      let again = rmsNorm(found.sum, gain: gain, epsilon: Self.epsilon)
      #expect(found.y.numbers == again.y.numbers && found.rstd.numbers == again.rstd.numbers)
    }
  }

  /// A row of zeros is normalized to zeros: that is what ε is for.
  @Test(arguments: Kernel.all)
  func zeroRows(_ kernel: Kernel) throws {
    let device = try kernel.device()
    let gain = Sample([5], .float32, "gain").tensor(on: device)
    let found = rmsNorm(Tensor.zeros([2, 5], kernel.dtype, on: device), gain: gain, epsilon: 1e-6)
    #expect(found.y.numbers.allSatisfy { $0 == 0 })
    #expect(found.rstd.numbers.allSatisfy { abs($0 - 1000) < 0.001 })
  }

  @Test(arguments: Kernel.all)
  func notANumberIsKept(_ kernel: Kernel) throws {
    let device = try kernel.device()
    var values = randomNumbers(3 * 21, "norm NaN")
    values[21 + 20] = .nan
    let gain = Sample([21], .float32, "gain").tensor(on: device)
    let y = rmsNorm(Sample([3, 21], kernel.dtype, values).tensor(on: device), gain: gain, epsilon: 1e-6).y
      .numbers
    #expect(y[21..<42].allSatisfy { $0.isNaN })
    #expect(y[..<21].allSatisfy { $0.isFinite } && y[42...].allSatisfy { $0.isFinite })
  }
}
