internal import Tensors
internal import Training

/// Where the time of a step goes, in the mean of several steps.
struct StepBreakdown: Encodable {
  /// Of one step.
  struct Part: Encodable {
    /// The operation and its phase; nil in the totals of a kind.
    var operation: String?
    var kernel: String?
    /// gemm, attention, elementwise; nil for what is not in kernels and for operations with kernels of several kinds.
    var kind: String?
    var calls = 0.0
    var seconds = 0.0
    var share = 0.0
    var bytes = 0.0
    var gigaflop = 0.0
  }

  let steps: Int
  /// The mean of the profiled steps, which are slower than those that are not.
  let seconds: Double
  /// gemm, attention, elementwise, and at last what is not in kernels.
  let kinds: [Part]
  let operations: [Part]
  let kernels: [Part]

  init(_ entries: [Profiler.Key: Profiler.Entry], steps: Int, seconds: Double) {
    let total = seconds
    func part(_ entries: [Profiler.Entry]) -> Part {
      let sum = { (value: (Profiler.Entry) -> Double) in
        entries.reduce(0) { $0 + value($1) } / Double(steps)
      }
      let time = sum(\.seconds)
      return Part(
        calls: sum { Double($0.calls) }, seconds: time, share: time * Double(steps) / total,
        bytes: sum { Double($0.bytes) }, gigaflop: sum(\.flops) * 1e-9)
    }
    func parts(_ key: (Profiler.Key) -> Part) -> [Part] {
      Dictionary(grouping: entries) { PartName(key($0.key)) }.map { name, group in
        var part = part(group.map(\.value))
        (part.operation, part.kernel, part.kind) = (name.operation, name.kernel, name.kind)
        return part
      }.sorted { ($1.seconds, $0.name) < ($0.seconds, $1.name) }
    }
    let scope = { (key: Profiler.Key) in key.scope.isEmpty ? "outside of operations" : key.scope }
    var kinds = parts { Part(kind: $0.kind.rawValue) }
    let inKernels = kinds.reduce(0) { $0 + $1.seconds }
    kinds.append(
      Part(seconds: total / Double(steps) - inKernels, share: 1 - inKernels * Double(steps) / total))
    (self.steps, self.seconds, self.kinds) = (steps, total / Double(steps), kinds)
    operations = parts { Part(operation: scope($0)) }
    kernels = parts { Part(operation: scope($0), kernel: $0.kernel, kind: $0.kind.rawValue) }
  }

  /// What parts are told apart by.
  private struct PartName: Hashable {
    let operation, kernel, kind: String?

    init(_ part: Part) { (operation, kernel, kind) = (part.operation, part.kernel, part.kind) }
  }
}

extension StepBreakdown.Part {
  /// In tables, and as an order among equals.
  fileprivate var name: String {
    [operation, kernel].compactMap { $0 }.joined(separator: " · ")
  }

  fileprivate var cells: [String] {
    let milliseconds = 1e3 * seconds
    return [
      calls == 0 ? "" : calls.text(calls == calls.rounded() ? 0 : 1), milliseconds.text(2),
      (100 * share).text(1) + " %", bytes == 0 ? "" : ProgressText.memory(bytes: Int(bytes)),
      bytes == 0 || seconds == 0 ? "" : (bytes / seconds * 1e-9).shortText,
      gigaflop == 0 || seconds == 0 ? "" : (gigaflop / seconds).shortText,
    ]
  }
}

extension StepBreakdown {
  private static let numbers = ["calls", "ms", "share", "bytes", "GB/s", "GFLOP/s"]

  /// Three tables: by kind, by operation, by kernel.
  var text: String {
    var byKind = TextTable(words: ["kind"], numbers: Self.numbers)
    for part in kinds { byKind.add([part.kind ?? "not in kernels"] + part.cells) }
    var byOperation = TextTable(words: ["operation"], numbers: Self.numbers)
    for part in operations { byOperation.add([part.name] + part.cells) }
    var byKernel = TextTable(words: ["operation", "kernel", "kind"], numbers: Self.numbers)
    for part in kernels {
      byKernel.add([part.operation ?? "", part.kernel ?? "", part.kind ?? ""] + part.cells)
    }
    return "Where a step of \((1e3 * seconds).text(1)) ms goes (mean of \(steps) profiled steps):\n\n"
      + [byKind, byOperation, byKernel].map(\.text).joined(separator: "\n\n")
  }
}
