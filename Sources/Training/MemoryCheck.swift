internal import Autograd
internal import Foundation
package import Model

/// Refuses a model that cannot fit: an allocation that fails later would end the process without a word.
///
/// Counts what is held for every parameter: the float32 master weight, the copy that is computed with unless that is
/// the master itself, the float32 gradient, and two moments; and packed weights, if they are kept. Activations and
/// caches come on top.
package struct MemoryCheck: Sendable {
  /// What is counted, for a person.
  private let holds: String
  private let parameters: Int
  private let bytesPerParameter: Int
  /// Weights that are kept packed, in each layout: those that no product reads, a few norms and routers, included.
  private var packedWeights = 0
  /// What would make the same model fit, beside a smaller one.
  private let remedy: String?

  /// For a model that is only computed with.
  ///
  /// - Parameters:
  ///   - multiTokenPrediction: whether the modules beside the main model are built.
  ///   - gradients: whether there is a backward pass.
  package init(
    _ model: ModelConfiguration, _ precision: PrecisionSection, multiTokenPrediction: Bool = true,
    gradients: Bool = false
  ) {
    let count = ParameterCount(model)
    parameters = multiTokenPrediction ? count.total : count.main
    bytesPerParameter = Self.weightBytes(precision) + (gradients ? 4 : 0)
    (holds, remedy) = (gradients ? "weights and gradients" : "weights", nil)
  }

  /// For a model that is trained.
  package init(training model: ModelConfiguration, _ configuration: RunConfiguration) {
    let moment = configuration.optimizer.moments == .float32 ? 4 : 2
    parameters = ParameterCount(model).total
    bytesPerParameter = Self.weightBytes(configuration.precision) + 4 + 2 * moment
    let (count, layouts) = (ParameterCount(model), configuration.training.packedWeights.layouts.count)
    packedWeights = (count.total - count.embedding) * layouts
    holds = "weights, gradients and moments" + (layouts > 0 ? ", and packed weights" : "")
    let remedies = [
      layouts > 0 ? "training.packed_weights: none" : nil, moment == 4 ? "optimizer.moments: bfloat16" : nil,
    ]
    remedy = remedies.compactMap { $0 }.first
  }

  /// A number of a panel as most levels have it; those that multiply pairs of bfloat16 take half.
  private static let panelBytes = 4

  /// The master and the copies that are read: in FP8 at least a byte, for what is read as codes only.
  private static func weightBytes(_ precision: PrecisionSection) -> Int {
    // Layers that fall back read numbers.
    let isCodes = Float8Policy(precision)?.settings.readsWeightNumbers == false && !precision.fallsBack
    switch precision.mode {
    case .float32: return 4
    case .bfloat16, .fp8: return 4 + (isCodes ? 1 : 2)
    }
  }

  /// - Throws: `TrainingError.notEnoughMemory`.
  package func run(available: Int = Self.limit()) throws(TrainingError) {
    let held = parameters.multipliedReportingOverflow(by: bytesPerParameter)
    let packed = packedWeights.multipliedReportingOverflow(by: Self.panelBytes)
    let (bytes, overflows) = held.partialValue.addingReportingOverflow(packed.partialValue)
    let isBeyondCounting = overflows || held.overflow || packed.overflow
    guard isBeyondCounting || bytes > available else { return }
    throw .notEnoughMemory(
      parameters: parameters, bytes: isBeyondCounting ? .max : bytes, holds: holds, available: available,
      remedy: remedy)
  }
}

extension MemoryCheck {
  /// Bytes that this process may use: what the machine has, or less where a control group (a container, a
  /// service, a batch job) sets a limit that can be read.
  package static func limit() -> Int {
    let read = { (path: String) in try? String(contentsOfFile: path, encoding: .utf8) }
    let physical = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    return limit(physical: physical, groups: read("/proc/self/cgroup") ?? "", read: read)
  }

  /// - Parameters:
  ///   - groups: lines `number:controllers:path`, as of /proc/self/cgroup; version 2 has no controllers.
  ///   - read: the text of a file, nil when it cannot be read.
  static func limit(physical: Int, groups: String, read: (String) -> String?) -> Int {
    var limit = physical
    for line in groups.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isSecond = fields[1].isEmpty
      guard isSecond || fields[1].split(separator: ",").contains("memory") else { continue }
      let (root, file) =
        isSecond ? ("/sys/fs/cgroup", "memory.max") : ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
      // A group is bound by those that contain it too. In a container the path may be that of the host: then
      // only the root exists, and is the container's own group.
      var path = fields[2].split(separator: "/")
      while true {
        let directory = ([root] + path.map(String.init)).joined(separator: "/")
        // Without a limit the text is "max", or a number beyond any memory.
        if let text = read("\(directory)/\(file)"), let bytes = Int(text.filter { !$0.isWhitespace }) {
          limit = min(limit, bytes)
        }
        guard path.popLast() != nil else { break }
      }
    }
    return limit
  }
}
