internal import CKernels

/// A way of going through large arrays.
package enum StreamPattern: String, Sendable, CaseIterable, Encodable {
  /// `Σ x`
  case read
  /// `y = x`, with plain stores.
  case copy
  /// `y = x`, with stores that pass by the caches.
  case streamingCopy = "streaming copy"
  /// `y = a + 3 b`
  case triad

  /// Arrays that it reads or writes; bytes count once each, as STREAM counts them.
  package var arrays: Int {
    switch self {
    case .read: 1
    case .copy, .streamingCopy: 2
    case .triad: 3
    }
  }

  fileprivate static let triadFactor: Float = 3
}

/// What ``Device/multiplyAdds(iterations:threads:)`` did.
package struct CeilingWork: Sendable {
  /// Floating-point operations of all threads.
  package let flops: Double
  /// What each thread's accumulators hold in the end, by which a test sees that the work was done.
  package let values: [Float]
}

/// Loops that do nothing but compute or nothing but move bytes: what they reach is the most that a kernel can.
extension Device {
  /// float32 multiply-adds in this level's registers: `a ← a / 2 + 1/2` from 0, so `1 − 2^−iterations` each.
  package func multiplyAdds(iterations: Int, threads: Int) -> CeilingWork {
    compute(iterations, threads, kernels.pointee.fma_ceiling)
  }

  /// The name of the unit that this processor has for bfloat16 products, whatever the level; nil for none.
  package var bfloat16Unit: String? { hadal_find_bfloat16_unit().name.map { String(cString: $0) } }

  /// Products of ones in that unit: `iterations · depth` each, depth being the products of one instruction.
  package func bfloat16Products(iterations: Int, threads: Int) -> (work: CeilingWork, depth: Int) {
    let unit = hadal_find_bfloat16_unit()
    precondition(unit.name != nil, "this processor has no unit for bfloat16 products")
    return (compute(iterations, threads, unit.ceiling), Int(unit.depth))
  }

  private func compute(
    _ iterations: Int, _ threads: Int, _ kernel: (Int, UnsafeMutablePointer<Float>) -> Double
  ) -> CeilingWork {
    precondition(1...workers.threads ~= threads, "\(threads) of \(workers.threads) threads")
    var flops = [Double](repeating: 0, count: threads)
    var values = [Float](repeating: 0, count: threads)
    flops.withUnsafeMutableBufferPointer { flops in
      values.withUnsafeMutableBufferPointer { values in
        let (flops, values) = (flops, values)
        workers.forEach(threads) { i in flops[i] = kernel(iterations, values.baseAddress! + i) }
      }
    }
    return CeilingWork(flops: flops.reduce(0, +), values: values)
  }

  /// Goes through float32 arrays `repeats` times, each thread through its part of them. The last array is written,
  /// but for `.read`, of which the sum of one pass is returned.
  ///
  /// - Parameter arrays: ``StreamPattern/arrays`` of one size, a multiple of 128 elements for each thread.
  @discardableResult
  package func stream(_ pattern: StreamPattern, _ arrays: [Tensor], repeats: Int, threads: Int) -> Float {
    precondition(1...workers.threads ~= threads, "\(threads) of \(workers.threads) threads")
    precondition(arrays.count == pattern.arrays, "\(pattern) takes \(pattern.arrays), not \(arrays.count)")
    let part = arrays[0].count / threads
    precondition(
      part.isMultiple(of: 128) && arrays.allSatisfy { $0.count == part * threads },
      "\(pattern): \(arrays.map(\.shape)) for \(threads) threads")
    let base = arrays.map { $0.floats.baseAddress! }
    var sums = [Float](repeating: 0, count: threads)
    let table = kernels.pointee
    sums.withUnsafeMutableBufferPointer { sums in
      let sums = sums
      workers.forEach(threads) { i in
        let p = base.map { $0 + i * part }
        for _ in 0..<repeats {
          switch pattern {
          case .read: sums[i] = table.read_ceiling(p[0], part)
          case .copy: table.copy_ceiling(p[0], p[1], part)
          case .streamingCopy: table.streaming_copy_ceiling(p[0], p[1], part)
          case .triad: table.triad_ceiling(p[0], p[1], StreamPattern.triadFactor, p[2], part)
          }
        }
      }
    }
    return sums.reduce(0, +)
  }
}
