internal import Foundation
internal import Tensors

/// The machine as this process is asked to use it.
enum ProcessDevice {
  /// What the environment variables HADAL_ISA, HADAL_POOL and HADAL_PIN ask for.
  /// - Throws: `DeviceError` when one has a value that means nothing.
  static func request() throws(DeviceError) -> DeviceRequest {
    try DeviceRequest(environment: ProcessInfo.processInfo.environment)
  }

  /// - Parameter threads: nil for one for each processor that the process was lent.
  /// - Throws: `DeviceError` when the environment asks for what this machine has not.
  static func make(threads: Int? = nil) throws(DeviceError) -> Device {
    try Device(threads: threads, request())
  }
}
