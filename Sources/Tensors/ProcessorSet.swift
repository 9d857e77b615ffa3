internal import CKernels
internal import Foundation

/// Processors of this machine by number, as the system lends them to threads.
package struct ProcessorSet: Sendable, Equatable {
  /// In ascending order.
  package let numbers: [Int]

  package init(_ numbers: [Int]) { self.numbers = numbers }

  /// What this process was lent when it first asked, before it pinned a thread; empty where the system does not tell.
  /// A constant of the process: a thread that is pinned knows no longer where the others may run.
  package static let lent = ofThisThread

  /// Where the calling thread may run; empty where the system does not tell.
  package static var ofThisThread: ProcessorSet {
    var bits = [UInt64](repeating: 0, count: words)
    guard hadal_processors(&bits, words) else { return ProcessorSet([]) }
    return ProcessorSet((0..<64 * words).filter { bits[$0 / 64] >> ($0 % 64) & 1 == 1 })
  }

  /// Confines a thread to these processors. A wish: where the system refuses, the thread runs as before.
  /// - Parameter thread: the system's number of it; 0 for the calling one.
  package func confine(thread: Int32 = 0) {
    var bits = [UInt64](repeating: 0, count: Self.words)
    for number in numbers { bits[number / 64] |= 1 << (number % 64) }
    _ = hadal_confine(thread, bits, Self.words)
  }

  /// 8,192 processors: what Linux counts at most.
  private static let words = 128

  /// The NUMA nodes that have some of these processors, a bit for each; 0 where there is no telling.
  /// - Parameter directory: where the system says which processors a node has.
  package func nodes(directory: String = "/sys/devices/system/node") -> UInt64 {
    var nodes: UInt64 = 0
    for node in 0..<64 {
      guard
        let list = try? String(contentsOfFile: "\(directory)/node\(node)/cpulist", encoding: .utf8)
      else { continue }
      let ranges = list.split(separator: ",").compactMap { part -> ClosedRange<Int>? in
        let ends = part.split(separator: "-").compactMap { Int($0.filter(\.isNumber)) }
        guard let first = ends.first, let last = ends.last, first <= last else { return nil }
        return first...last
      }
      if ranges.contains(where: { range in numbers.contains { range.contains($0) } }) { nodes |= 1 << node }
    }
    return nodes
  }
}

/// Whether each thread of a pool stays on a processor of its own.
package enum Pinning: Sendable, Equatable {
  case yes, no
  /// Where the process was lent a part of the machine, as launchers of several ranks do, and has a thread for each
  /// processor of it. A process that was lent all of them may have to share them with others, and a thread that waits
  /// for its own processor then holds up all threads.
  case automatic

  /// The processors of the threads, the caller's first; nil for none of their own.
  /// - Parameter machine: how many processors there are.
  /// - Throws: `DeviceError` when more threads than processors are to be pinned.
  package func processors(
    threads: Int, of lent: ProcessorSet, machine: Int = ProcessInfo.processInfo.processorCount
  ) throws(DeviceError) -> [Int]? {
    switch self {
    case .no: return nil
    case .automatic:
      return threads > 1 && threads == lent.numbers.count && threads < machine ? lent.numbers : nil
    case .yes:
      guard threads <= lent.numbers.count else {
        throw .tooFewProcessors(threads: threads, processors: lent.numbers.count)
      }
      return Array(lent.numbers.prefix(threads))
    }
  }
}
