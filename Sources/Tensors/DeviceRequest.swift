/// How a process is asked to use the machine, beside its configuration: for those who measure or search for faults. The
/// results are the same.
package struct DeviceRequest: Sendable, Equatable {
  /// The instruction-set level (`HADAL_ISA`); nil for the best that the processor has.
  package var level: String?
  /// Whether memory is what sanitizers can watch (`HADAL_POOL=plain`, see ``MemoryPool``); nil for yes in a build that
  /// AddressSanitizer watches, else no.
  package var hasPlainPool: Bool?
  /// `HADAL_PIN=yes|no`.
  package var pinning = Pinning.automatic

  package init(level: String? = nil, hasPlainPool: Bool? = nil, pinning: Pinning = .automatic) {
    (self.level, self.hasPlainPool, self.pinning) = (level, hasPlainPool, pinning)
  }

  /// - Throws: `DeviceError` when a variable has a value that means nothing. Levels are looked up later.
  package init(environment: [String: String]) throws(DeviceError) {
    level = environment["HADAL_ISA"]
    switch environment["HADAL_POOL"] {
    case nil: hasPlainPool = nil
    case "plain": hasPlainPool = true
    case let value?: throw .unknownPool(value)
    }
    switch environment["HADAL_PIN"] {
    case nil: pinning = .automatic
    case "yes": pinning = .yes
    case "no": pinning = .no
    case let value?: throw .unknownPinning(value)
    }
  }
}

/// Why this machine cannot compute as asked.
package enum DeviceError: Error, CustomStringConvertible {
  /// An instruction-set level that was asked for (`HADAL_ISA`) and cannot be had.
  case unknownLevel(String, supported: [String])
  /// A kind of memory pool that was asked for (`HADAL_POOL`) and does not exist.
  case unknownPool(String)
  /// A value of `HADAL_PIN` that means nothing.
  case unknownPinning(String)
  /// Threads were to be pinned (`HADAL_PIN=yes`), and there is not a processor for each.
  case tooFewProcessors(threads: Int, processors: Int)

  package var description: String {
    switch self {
    case .unknownLevel(let level, let supported):
      "HADAL_ISA=\(level): this processor or build has no such level; it has \(supported.joined(separator: ", "))"
    case .unknownPool(let value):
      "HADAL_POOL=\(value): only \"plain\" is known, for sanitizers; unset it for memory that is recycled"
    case .unknownPinning(let value):
      "HADAL_PIN=\(value): \"yes\" and \"no\" are known; unset it to pin where a launcher lends some processors"
    case .tooFewProcessors(let threads, let processors):
      "HADAL_PIN=yes: \(threads) threads cannot be pinned to the \(processors) processors that the system lends; "
        + "set training.threads to \(processors) or fewer, or HADAL_PIN to no"
    }
  }
}
