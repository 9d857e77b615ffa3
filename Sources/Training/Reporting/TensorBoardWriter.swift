internal import Foundation
internal import Glibc

/// A file `events.out.tfevents.<seconds>.<host>` that TensorBoard shows, one for each session of a run.
package final class TensorBoardWriter {
  private let file: AppendingFile
  private let crc = CRC32C()

  package var path: String { file.path }

  /// Creates the file of a session that continues after `step`.
  ///
  /// The events of later steps in the files of earlier sessions stay on the disk, but TensorBoard forgets
  /// them; `step` 0 makes it forget all.
  /// - Parameters:
  ///   - time: Seconds since 1970.
  ///   - host: The name of this machine, by default as the system knows it.
  /// - Throws: `ReportingError` when the file cannot be created.
  package init(
    directory: String, resumingAt step: Int, time: Double = Date().timeIntervalSince1970,
    host: String = TensorBoardWriter.hostName
  ) throws(ReportingError) {
    precondition(step >= 0, "step \(step) is negative")
    file = try TensorBoardWriter.create("\(directory)/events.out.tfevents.\(Int(time)).\(host)")
    try write(TensorBoardEvent(wallTime: time, step: 0, content: .fileVersion))
    try forget(after: step, time: time)
  }

  /// Makes TensorBoard forget the events of steps after `step`, those of this session too; `step` 0 all.
  ///
  /// - Throws: `ReportingError`, as ``write(_:time:)``.
  package func forget(
    after step: Int, time: Double = Date().timeIntervalSince1970
  ) throws(ReportingError) {
    try write(TensorBoardEvent(wallTime: time, step: step == 0 ? 0 : step + 1, content: .start))
  }

  /// Hands the numbers of a record to the system at once.
  ///
  /// - Throws: `ReportingError`, for instance when the disk is full; no part of the event is then in the
  ///   file.
  package func write(
    _ record: some MetricsRecord, time: Double = Date().timeIntervalSince1970
  ) throws(ReportingError) {
    try write(TensorBoardEvent(wallTime: time, step: record.step, content: .scalars(record.scalars)))
  }

  private func write(_ event: TensorBoardEvent) throws(ReportingError) {
    try file.append(event.record(crc))
  }

  /// Two sessions may start within one second: the later gets a name that sorts behind the earlier's.
  private static func create(_ path: String) throws(ReportingError) -> AppendingFile {
    var attempt = 0
    while true {
      do throws(ReportingError) {
        return try AppendingFile(attempt == 0 ? path : "\(path).\(attempt)", existing: .refused)
      } catch {
        guard error.kind == .system(EEXIST), attempt < 9 else { throw error }
        attempt += 1
      }
    }
  }

  /// The name of this machine; "localhost" when it has none.
  package static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0, name[0] != 0 else { return "localhost" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
