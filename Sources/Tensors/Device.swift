package import CKernels
internal import Foundation

/// Where tensors live and who computes on them: memory pool, worker threads and the kernels for this processor.
/// One a rank; every tensor knows its device, so nothing here is global.
package final class Device {
  package let pool: MemoryPool
  /// Memory that other ranks of the node can read; nil where none do.
  package var lentPool: MemoryPool?
  private var isLending = false
  package let workers: WorkerPool
  package let kernels: UnsafePointer<hadal_kernels>
  /// Records every kernel while it is set.
  package var profiler: Profiler?

  /// The name of the instruction-set level in use: `amx`, `avx512`, … (`hadal_levels` in CKernels).
  package var level: String { String(cString: kernels.pointee.name) }

  /// - Parameters:
  ///   - threads: worker threads; nil for one for each processor that the process was lent.
  ///   - request: what the environment asks for.
  /// - Throws: `DeviceError` when this machine cannot be used like that.
  package init(threads: Int? = nil, _ request: DeviceRequest) throws(DeviceError) {
    kernels = try Self.kernels(named: request.level)
    let lent = ProcessorSet.lent
    let count =
      threads ?? (lent.numbers.isEmpty ? ProcessInfo.processInfo.activeProcessorCount : lent.numbers.count)
    let processors = try request.pinning.processors(threads: count, of: lent)
    pool = MemoryPool(
      isPlain: request.hasPlainPool ?? hadal_watches_memory(),
      nodes: ProcessorSet(processors ?? lent.numbers).nodes())
    workers = WorkerPool(threads: count, processors: processors)
  }

  /// Where tensors are made now.
  var poolInUse: MemoryPool { isLending ? lentPool ?? pool : pool }

  /// Makes tensors where other ranks of the node can read them, if there are such: rows that are about to travel.
  /// - Parameter travels: false: as ever.
  package func lending<Result>(if travels: Bool = true, _ body: () -> Result) -> Result {
    let outer = isLending
    isLending = travels || outer
    defer { isLending = outer }
    return body()
  }

  /// A device whose threads the system places.
  /// - Parameter level: the name of an instruction-set level; nil for the best that the processor has.
  /// - Throws: `DeviceError` when the level is unknown or the processor lacks it.
  package convenience init(threads: Int? = nil, level: String? = nil) throws(DeviceError) {
    try self.init(threads: threads, DeviceRequest(level: level, pinning: .no))
  }

  /// The levels that this processor can run, in the order in which they are preferred.
  package static func supportedLevels() -> [String] {
    supported().map { String(cString: $0.pointee.name) }
  }

  private static func supported() -> [UnsafePointer<hadal_kernels>] {
    let supported = levels().filter { hadal_level_is_supported($0) }
    return supported.filter { hadal_level_is_fast($0) } + supported.filter { !hadal_level_is_fast($0) }
  }

  private static func levels() -> [UnsafePointer<hadal_kernels>] {
    var list: [UnsafePointer<hadal_kernels>] = []
    var next = hadal_levels()
    while let level = next?.pointee {
      list.append(level)
      next = next?.advanced(by: 1)
    }
    return list
  }

  private static func kernels(named name: String?) throws(DeviceError) -> UnsafePointer<hadal_kernels> {
    let supported = supported()
    guard let name else { return supported[0] }
    guard let level = supported.first(where: { String(cString: $0.pointee.name) == name }) else {
      throw .unknownLevel(name, supported: supportedLevels())
    }
    return level
  }
}

@available(*, unavailable)
extension Device: Sendable {}
