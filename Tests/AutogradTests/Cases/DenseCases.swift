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

/// Linear maps, normalization and activation.
extension OperationCase {
  static var denseCases: [OperationCase] { [linear, oneByOne, rmsNorm, swiglu] }

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
    let width = 19
    return OperationCase(
      RMSNorm.self, leaves: [.variable("x", [6, width]), .parameter("gain", [width])], roundings: width + 8,
      inputs: { ($0.variable("x"), $0.parameter("gain"), 0.1) },
      reference: { x in
        (0..<6).flatMap { t in
          let row = x["x"]![t * width..<(t + 1) * width]
          let mean = row.reduce(0) { $0 + $1 * $1 } / Double(width)
          return zip(row, x["gain"]!).map { $0 / (mean + Double(Float(0.1))).squareRoot() * $1 }
        }
      })
  }

  private static var swiglu: OperationCase {
    OperationCase(
      SwiGLU.self, leaves: [.variable("h", [5, 2 * 23], scale: 2)], roundings: 8,
      inputs: { $0.variable("h") },
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
