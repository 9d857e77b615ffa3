internal import Numerics
internal import Tensors

/// A tensor's elements as Double numbers, for checks.
struct Numbers {
  private enum Elements {
    case single(UnsafeMutableBufferPointer<Float>)
    case half(UnsafeMutableBufferPointer<BFloat16>)
  }

  /// Owns what `elements` points into.
  private let tensor: Tensor
  private let elements: Elements

  init(_ tensor: Tensor) {
    self.tensor = tensor
    elements =
      tensor.dtype == .bfloat16 ? .half(tensor.elements(BFloat16.self)) : .single(tensor.elements(Float.self))
  }

  subscript(index: Int) -> Double {
    switch elements {
    case .single(let x): Double(x[index])
    case .half(let x): Double(Float(x[index]))
    }
  }

  /// The relative error of storing a number, at most: half a unit in the last place.
  var rounding: Double { tensor.dtype == .bfloat16 ? 0x1p-8 : 0x1p-24 }
}

extension Tensor {
  /// Uniform numbers of mean 0 and variance 1, always the same for a name.
  static func random(_ shape: [Int], _ dtype: DType, _ name: String, on device: Device) -> Tensor {
    let tensor = Tensor(shape, on: device)
    let (x, generator) = (tensor.floats, Philox(seed: 0, name: name))
    // √12 · (bits / 2³² − 1/2)
    let scale = Float(12).squareRoot() / 4_294_967_296
    let number = { (bits: UInt32) in (Float(bits) - 2_147_483_648) * scale }
    device.workers.forEachRange((x.count + 3) / 4, grain: 1 << 12) { range in
      for block in range {
        let (bits, at) = (generator.block(UInt64(block)), block * 4)
        x[at] = number(bits.0)
        if at + 1 < x.count { x[at + 1] = number(bits.1) }
        if at + 2 < x.count { x[at + 2] = number(bits.2) }
        if at + 3 < x.count { x[at + 3] = number(bits.3) }
      }
    }
    return tensor.converted(to: dtype)
  }
}

/// Up to `count` of `0..<limit`: both ends, and others at odd distances between them.
func spread(_ count: Int, below limit: Int) -> [Int] {
  guard limit > count else { return Array(0..<limit) }
  let inner = (1..<count - 1).map { ($0 * limit / (count - 1)) | 1 }
  return ([0] + inner + [limit - 1]).filter { $0 < limit }
}

/// A kernel whose result is not what a Double computation gives. Nothing is timed after it.
struct WrongResult: Error, CustomStringConvertible {
  let what: String
  let element: [Int]
  let found, expected, tolerance: Double

  var description: String {
    "\(what): element \(element) is \(found), but computed in float64 it is \(expected) ± \(tolerance); it was not timed"
  }

  /// - Throws: when the values differ by more than the tolerance, or one is no number.
  static func check(
    _ what: @autoclosure () -> String, _ element: @autoclosure () -> [Int], _ found: Double,
    _ expected: Double, tolerance: Double
  ) throws(WrongResult) {
    if abs(found - expected) <= tolerance { return }
    throw WrongResult(
      what: what(), element: element(), found: found, expected: expected, tolerance: tolerance)
  }
}
