internal import Foundation
internal import Tensors

/// What a report was measured on.
struct Machine: Encodable {
  let processor: String
  let cores: Int
  let memoryBytes: Int
  let system: String

  init() {
    let info = ProcessInfo.processInfo
    processor = Self.processorName() ?? "unknown processor"
    // Not what the calling thread may use: that one may be pinned.
    let lent = ProcessorSet.lent.numbers.count
    (cores, memoryBytes) = (lent > 0 ? lent : info.activeProcessorCount, Int(clamping: info.physicalMemory))
    system = info.operatingSystemVersionString
  }

  /// Nil where the system does not tell, as on aarch64.
  private static func processorName() -> String? {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
    return line?.split(separator: ":", maxSplits: 1).last?.trimmingCharacters(in: .whitespaces)
  }
}

/// Everything that a benchmark of several cases prints.
struct BenchReport<Result: Encodable>: Encodable {
  let machine = Machine()
  let threads: Int
  let level: String
  let ceilings: Ceilings
  let results: [Result]

  init(_ device: Device, _ ceilings: Ceilings, _ results: [Result]) {
    (threads, level) = (device.workers.threads, device.level)
    (self.ceilings, self.results) = (ceilings, results)
  }

  /// Where and how it was measured, for a person.
  var head: String {
    "\(machine.processor), cores: \(machine.cores), threads: \(threads), level: \(level)\n"
      + ceilings.rates.map(\.text).joined(separator: "\n")
  }
}
