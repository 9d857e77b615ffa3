internal import CKernels
internal import Synchronization

/// What quantizers saw, added up over the calls that it was given to.
///
/// The numbers are the same for any number of threads: counts and extremes do not depend on their order.
package final class QuantizationStatistics {
  /// Elements that were quantized.
  package private(set) var elements = 0
  /// The largest finite magnitude of an element.
  package private(set) var amax: Float = 0
  /// Elements that were NaN or infinite, and have become NaN.
  package private(set) var nonFinite = 0
  /// Finite elements beyond the largest code: none, as scales follow from the same elements.
  package private(set) var saturated = 0
  /// Elements that were not zero and have become zero.
  package private(set) var flushed = 0
  /// The smallest and the largest scale of a tile; infinite and 0 where there was no tile.
  package private(set) var leastScale = Float.infinity
  package private(set) var greatestScale: Float = 0

  package init() {}

  func add(_ counts: hadal_quantization_counts) {
    amax = max(amax, counts.amax)
    nonFinite += Int(counts.non_finite)
    saturated += Int(counts.saturated)
    flushed += Int(counts.flushed)
    leastScale = min(leastScale, counts.least_scale)
    greatestScale = max(greatestScale, counts.greatest_scale)
  }

  func add(elements: Int) { self.elements += elements }
}

@available(*, unavailable)
extension QuantizationStatistics: Sendable {}

/// Counters that several threads add to, where a thread does not know which one it is.
final class SharedStatistics {
  private let statistics: QuantizationStatistics
  private let lock = Mutex<Void>(())

  init(_ statistics: QuantizationStatistics) { self.statistics = statistics }

  /// Hands counters of this call's own to the body, and adds them up; without statistics none.
  static func count(
    _ elements: Int, in shared: SharedStatistics?,
    _ body: (UnsafeMutablePointer<hadal_quantization_counts>?) -> Void
  ) {
    guard let shared else { return body(nil) }
    var counts = hadal_quantization_counts.none
    body(&counts)
    shared.lock.withLock { _ in
      shared.statistics.add(counts)
      shared.statistics.add(elements: elements)
    }
  }
}

extension hadal_quantization_counts {
  /// Of no tile yet.
  static var none: hadal_quantization_counts {
    hadal_quantization_counts(
      amax: 0, least_scale: .infinity, greatest_scale: 0, non_finite: 0, saturated: 0, flushed: 0)
  }
}

extension Device {
  /// Shares 0..<count over the threads in ranges of at least `grain`, each with its thread's counters; without
  /// statistics with none.
  func forEachRange(
    _ count: Int, grain: Int, counting elements: Int, in statistics: QuantizationStatistics?,
    _ body: (_ range: Range<Int>, _ counts: UnsafeMutablePointer<hadal_quantization_counts>?) -> Void
  ) {
    guard let statistics else {
      return workers.forEachRange(count, grain: grain) { range in body(range, nil) }
    }
    var counts = [hadal_quantization_counts](repeating: .none, count: workers.threads)
    counts.withUnsafeMutableBufferPointer { counts in
      let base = counts.baseAddress!
      workers.forEachRange(count, grain: grain) { range, thread in body(range, base + thread) }
    }
    for count in counts { statistics.add(count) }
    statistics.add(elements: elements)
  }
}
