package import CKernels
internal import Foundation

/// Where tensors live and who computes on them: memory pool, worker threads and the kernels for this processor.
/// One a rank; every tensor knows its device, so nothing here is global.
package final class Device {
  package let pool: MemoryPool
  package let workers: WorkerPool
  package let kernels: UnsafePointer<hadal_kernels>
  /// Records every kernel while it is set.
  package var profiler: Profiler?

  /// The name of the instruction-set level in use: `amx`, `avx512`, … (`hadal_levels` in CKernels).
  package var level: String { String(cString: kernels.pointee.name) }

  /// - Parameters:
  ///   - threads: worker threads; nil for one a core.
  ///   - level: the name of an instruction-set level; nil for the best that the processor has.
  /// - Throws: `DeviceError` when the level is unknown or the processor lacks it, or when the environment asks for a
  ///   memory pool that there is not.
  package init(threads: Int? = nil, level: String? = nil) throws(DeviceError) {
    kernels = try Self.kernels(named: level)
    pool = MemoryPool(isPlain: try Self.isPoolPlain(ProcessInfo.processInfo.environment["HADAL_POOL"]))
    workers = WorkerPool(threads: threads ?? ProcessInfo.processInfo.activeProcessorCount)
  }

  /// The levels that this processor can run, in the order in which they are preferred.
  package static func supportedLevels() -> [String] {
    supported().map { String(cString: $0.pointee.name) }
  }

  /// Whether this value of `HADAL_POOL` asks for memory that sanitizers can watch (see `MemoryPool`); nil where it
  /// is not set.
  package static func isPoolPlain(_ value: String?) throws(DeviceError) -> Bool {
    guard value == nil || value == "plain" else { throw .unknownPool(value ?? "") }
    return value != nil
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

/// Why this machine cannot compute as asked.
package enum DeviceError: Error, CustomStringConvertible {
  /// An instruction-set level that was asked for (`HADAL_ISA`) and cannot be had.
  case unknownLevel(String, supported: [String])
  /// A kind of memory pool that was asked for (`HADAL_POOL`) and does not exist.
  case unknownPool(String)

  package var description: String {
    switch self {
    case .unknownLevel(let level, let supported):
      "HADAL_ISA=\(level): this processor or build has no such level; it has \(supported.joined(separator: ", "))"
    case .unknownPool(let value):
      "HADAL_POOL=\(value): only \"plain\" is known, for sanitizers; unset it for memory that is recycled"
    }
  }
}
