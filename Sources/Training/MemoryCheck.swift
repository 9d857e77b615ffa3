internal import Foundation
package import Model

/// Refuses a model that cannot fit: an allocation that fails later would end the process without a word.
///
/// Counts what is held for every parameter, as ``ParameterAccount`` has it: by this rank, and by the others on its
/// node. Activations and caches come on top.
package struct MemoryCheck: Sendable {
  /// What is counted, for a person.
  private let holds: String
  /// Of the whole model.
  private let parameters: Int
  /// Ranks on the node, which share its memory.
  private let ranks: Int
  /// Of all of them; nil beyond what can be counted.
  private let bytes: Int?
  /// What would make the same model fit, beside a smaller one.
  private let remedy: String?

  /// No machine has room for more, and bytes of as many on all ranks of a node can still be counted.
  private static let mostParameters = 1 << 44

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
    (holds, ranks, remedy) = (gradients ? "weights and gradients" : "weights", 1, nil)
    guard parameters <= Self.mostParameters else {
      bytes = nil
      return
    }
    let account = ParameterAccount(precision, model)
    let modules = multiTokenPrediction ? model.numNextnPredictLayers : 0
    let held = account.held(segments: 0..<model.numHiddenLayers + 2 + modules)
    bytes = held.weights + (gradients ? held.gradients : 0)
  }

  /// For a model that is trained.
  /// - Parameter rank: of the world.
  package init(
    training model: ModelConfiguration, _ configuration: RunConfiguration, _ layout: RankLayout,
    rank: Int = 0
  ) {
    parameters = ParameterCount(model).total
    let neighbors = layout.nodes.indices.filter { layout.nodes[$0] == layout.nodes[rank] }
    ranks = neighbors.count
    let isPacked = configuration.training.packedWeights != .none
    let isCopied = configuration.checkpoint.savesInBackground
    holds =
      "weights, gradients and moments" + (isPacked ? ", packed weights" : "")
      + (isCopied ? ", and the copy that is saved in the background" : "")
    let remedies = [
      isCopied ? "checkpoint.asynchronous: false" : nil,
      isPacked ? "training.packed_weights: none" : nil,
      configuration.optimizer.moments == .float32 ? "optimizer.moments: bfloat16" : nil,
      ranks > 1 ? "more nodes with fewer ranks on each" : nil,
    ]
    remedy = remedies.compactMap { $0 }.first
    guard parameters <= Self.mostParameters else {
      bytes = nil
      return
    }
    let account = ParameterAccount(configuration, model, layout)
    let held = (0..<layout.pipeline).map { account.held(by: $0).total }
    bytes = neighbors.reduce(0) { $0 + held[$1 / layout.data] }
  }

  /// - Throws: `TrainingError.notEnoughMemory`.
  package func run(available: Int = Self.limit()) throws(TrainingError) {
    if let bytes, bytes <= available { return }
    throw .notEnoughMemory(
      parameters: parameters, bytes: bytes ?? .max, holds: holds, ranks: ranks, available: available,
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
