internal import Foundation

/// Where the time of a training step goes: calls, seconds, bytes and floating-point operations of each kernel,
/// under the operation that called it.
///
/// A device without a profiler pays one comparison a kernel. Only kernels that call no other kernel are recorded,
/// so the entries add up to the time spent in kernels.
package final class Profiler {
  /// What a kernel is counted as when the share of matrix products is asked for.
  package enum Kind: String, Sendable { case gemm, attention, elementwise }

  /// A kernel under the scope in which it was called.
  package struct Key: Hashable, Sendable {
    package let scope, kernel: String
    package let kind: Kind
  }

  package struct Entry: Sendable {
    package fileprivate(set) var calls = 0
    package fileprivate(set) var seconds = 0.0
    /// Bytes of the operands and results, each counted once: what must cross the caches' outer edge at least.
    package fileprivate(set) var bytes = 0
    /// Floating-point operations of products, 2 for a multiply and an add; 0 for element-wise kernels.
    package fileprivate(set) var flops = 0.0
  }

  package private(set) var entries: [Key: Entry] = [:]
  /// The operation and its phase that run now; set by the tape and the training loop.
  package var scope = ""

  package init() {}

  fileprivate func record(_ key: Key, seconds: Double, bytes: Int, flops: Double) {
    entries[key, default: Entry()].calls += 1
    entries[key, default: Entry()].seconds += seconds
    entries[key, default: Entry()].bytes += bytes
    entries[key, default: Entry()].flops += flops
  }
}

@available(*, unavailable)
extension Profiler: Sendable {}

extension Device {
  /// Runs a kernel, and records it when a profiler is attached.
  func measured<Result>(
    _ kernel: String, _ kind: Profiler.Kind = .elementwise, bytes: @autoclosure () -> Int,
    flops: @autoclosure () -> Double = 0, _ body: () -> Result
  ) -> Result {
    guard let profiler else { return body() }
    let begin = DispatchTime.now().uptimeNanoseconds
    let result = body()
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - begin) * 1e-9
    let key = Profiler.Key(scope: profiler.scope, kernel: kernel, kind: kind)
    profiler.record(key, seconds: seconds, bytes: bytes(), flops: flops())
    return result
  }
}
