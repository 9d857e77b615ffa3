internal import Foundation
internal import Tensors

/// The machine as this process is asked to use it.
enum ProcessDevice {
  /// The instruction set that the environment variable HADAL_ISA names; nil for the best there is.
  static var level: String? { ProcessInfo.processInfo.environment["HADAL_ISA"] }

  /// - Parameter threads: nil for one a core.
  /// - Throws: `DeviceError` when HADAL_ISA names what this machine has not.
  static func make(threads: Int? = nil) throws(DeviceError) -> Device {
    try Device(threads: threads, level: level)
  }
}
