import Autograd
import Foundation
import Tensors

func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

/// `x Wᵀ` for x `[·, inputs]` and W `[outputs, inputs]`.
func product(_ x: [Double], _ weight: [Double], inputs: Int) -> [Double] {
  let outputs = weight.count / inputs
  return (0..<x.count / inputs * outputs).map { i in
    let (t, n) = (i / outputs, i % outputs)
    return (0..<inputs).reduce(0) { $0 + x[t * inputs + $1] * weight[n * inputs + $1] }
  }
}

/// A row divided by its root mean square, times the gain.
private func normalized(_ row: ArraySlice<Double>, _ gain: [Double], epsilon: Double) -> [Double] {
  let mean = row.reduce(0) { $0 + $1 * $1 } / Double(row.count)
  return zip(row, gain).map { $0 / (mean + epsilon).squareRoot() * $1 }
}

/// The width of normalized rows.
private let width = 19

/// Linear maps, normalization and activation.
extension OperationCase {
  static var denseCases: [OperationCase] {
    [linear, oneByOne, rmsNorm, swiglu] + residualNorms + [1, 2].map(residualSum)
  }

  private static var linear: OperationCase {
    OperationCase(
      Linear.self, leaves: [.variable("x", [9, 13]), .parameter("weight", [7, 13])], roundings: 13,
      inputs: { ($0.variable("x"), $0.parameter("weight")) },
      reference: { x in product(x["x"]!, x["weight"]!, inputs: 13) })
  }

  private static var oneByOne: OperationCase {
    OperationCase(
      Linear.self, "1 by 1", leaves: [.variable("x", [1, 1]), .parameter("weight", [1, 1])], roundings: 1,
      inputs: { ($0.variable("x"), $0.parameter("weight")) },
      reference: { x in [x["x"]![0] * x["weight"]![0]] })
  }

  /// ε is large enough here to matter.
  private static var rmsNorm: OperationCase {
    OperationCase(
      RMSNorm.self, leaves: [.variable("x", [6, width]), .parameter("gain", [width])], roundings: width + 8,
      inputs: { RMSNorm.Inputs(x: $0.variable("x"), gain: $0.parameter("gain"), epsilon: 0.1) },
      reference: { x in
        (0..<6).flatMap { t in
          normalized(x["x"]![t * width..<(t + 1) * width], x["gain"]!, epsilon: Double(Float(0.1)))
        }
      })
  }

  /// With no branch, one and two; the norm alone, and the norm beside the sum from which the stream goes on.
  private static var residualNorms: [OperationCase] {
    (0...2).flatMap { branches in [false, true].map { residualNorm(branches: branches, sumIsUsed: $0) } }
  }

  private static func residualNorm(branches: Int, sumIsUsed: Bool) -> OperationCase {
    let names = ["a", "b"].prefix(branches)
    return OperationCase(
      ResidualNorm.self, "\(branches) branches" + (sumIsUsed ? ", and the sum" : ""),
      leaves: (["x"] + names).map { .variable($0, [6, width]) } + [.parameter("gain", [width])],
      roundings: width + 10,
      record: { graph in
        let inputs = ResidualNorm.Inputs(
          x: graph.variable("x"), branches: names.map(graph.variable), gain: graph.parameter("gain"),
          epsilon: 0.1)
        let (y, saved) = graph.tape.apply(ResidualNorm.self, inputs)
        return sumIsUsed ? graph.tape.apply(Concatenation.self, (y, saved.sum)).output : y
      },
      reference: { x in
        (0..<6).flatMap { t in
          let row = (t * width..<(t + 1) * width).map { i in names.reduce(x["x"]![i]) { $0 + x[$1]![i] } }
          let y = normalized(row[...], x["gain"]!, epsilon: Double(Float(0.1)))
          return sumIsUsed ? y + row : y
        }
      })
  }

  private static func residualSum(branches: Int) -> OperationCase {
    let names = ["a", "b"].prefix(branches)
    return OperationCase(
      ResidualSum.self, "\(branches) branches", leaves: (["x"] + names).map { .variable($0, [6, width]) },
      roundings: 2,
      inputs: { graph in (graph.variable("x"), names.map(graph.variable)) },
      reference: { x in (0..<6 * width).map { i in names.reduce(x["x"]![i]) { $0 + x[$1]![i] } } })
  }

  private static var swiglu: OperationCase {
    OperationCase(
      SwiGLU.self, leaves: [.variable("h", [5, 2 * 23], scale: 2)], roundings: 8,
      inputs: { SwiGLU.Inputs($0.variable("h")) },
      reference: { x in
        (0..<5 * 23).map { i in
          let (gate, up) = (x["h"]![i / 23 * 46 + i % 23], x["h"]![i / 23 * 46 + 23 + i % 23])
          return gate * sigmoid(gate) * up
        }
      })
  }
}

/// The head and its loss.
extension OperationCase {
  static var headCases: [OperationCase] { [head] }

  /// Two labels are ignored; the rows count differently.
  private static var head: OperationCase {
    let (rows, width, vocabulary) = (7, 5, 21)
    let labels: [Int32] = [4, -1, 20, 0, 13, -100, 4]
    let scale = randomNumbers(rows, "row scale").map { abs($0) }
    return OperationCase(
      CrossEntropyHead.self,
      leaves: [.variable("h", [rows, width]), .parameter("weight", [vocabulary, width])],
      roundings: vocabulary + width + 8, upstream: [1],
      inputs: { graph in
        CrossEntropyHead.Inputs(
          h: graph.variable("h"), weight: graph.parameter("weight"),
          labels: Tensor([rows], labels, on: graph.device), scale: Tensor([rows], scale, on: graph.device))
      },
      reference: { x in
        let logits = product(x["h"]!, x["weight"]!, inputs: width)
        let losses = (0..<rows).filter { labels[$0] >= 0 }.map { t in
          let row = logits[t * vocabulary..<(t + 1) * vocabulary]
          let loss = log(row.reduce(0) { $0 + exp($1) }) - row[row.startIndex + Int(labels[t])]
          return Double(scale[t]) * loss
        }
        return [losses.reduce(0, +)]
      })
  }
}
