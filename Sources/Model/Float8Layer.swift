package import Autograd

/// A layer of a model and its matrices that were made to be multiplied in FP8.
package struct Float8Layer {
  /// Modules of multi-token prediction have the numbers after the main model's.
  package let number: Int
  package let matrices: [Parameter]
}

extension DeepSeek {
  /// Lets these layers, and no others, multiply their FP8 matrices in bfloat16.
  ///
  /// Not between a forward pass and its backward pass.
  package func setFallenBack(layers: Set<Int>) {
    for layer in float8Layers {
      for matrix in layer.matrices { matrix.setFallenBack(layers.contains(layer.number)) }
    }
  }

  /// The product to be checked at a turn: each of each matrix in FP8 has its turn, one after the other.
  /// - Parameter turn: counted from 0.
  /// - Returns: nil when nothing is multiplied in FP8.
  package func shadowSample(turn: Int) -> Float8Monitor.Sample? {
    let products = float8Layers.flatMap(\.matrices).flatMap { matrix in
      Float8Settings.GEMM.allCases.filter { matrix.declaredFloat8?.gemms.contains($0) == true }.map {
        (matrix: matrix, sample: Float8Monitor.Sample(matrix: matrix.name, gemm: $0))
      }
    }
    // The place in the whole list, so that a layer's falling back moves no other's turn.
    let turns = products.indices.lazy.map { products[(turn + $0) % products.count] }
    return turns.first { !$0.matrix.hasFallenBack }?.sample
  }

  /// Counts what became of the weights in their codes.
  package func countWeights(_ monitor: Float8Monitor) {
    for layer in float8Layers {
      for matrix in layer.matrices { matrix.countCodes(monitor) }
    }
  }
}
