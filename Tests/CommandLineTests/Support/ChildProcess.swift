import Foundation
import Glibc

/// How a process ended and what it said.
struct Outcome: Sendable {
  enum Ending: Sendable, Equatable {
    case exit(Int32), signal(Int32)
  }

  let ending: Ending
  let output: String
  let error: String
}

/// A program that runs beside the tests. It is killed if nobody waits for it.
final class ChildProcess {
  private let process = Process()
  private let outputPath: String
  private let errorPath: String

  /// - Parameters:
  ///   - environment: what differs from the environment of the tests.
  ///   - logs: where stdout and stderr go, as files: a pipe that nobody reads would stop the program.
  init(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:], directory: String,
    logs: String
  ) throws {
    let name = "\(logs)/\(UUID().uuidString)"
    (outputPath, errorPath) = ("\(name).out", "\(name).err")
    var variables = ProcessInfo.processInfo.environment
    variables["HADAL_ISA"] = nil
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.environment = variables.merging(environment) { $1 }
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try Self.newFile(outputPath)
    process.standardError = try Self.newFile(errorPath)
    try Self.withAllSignals { try process.run() }
  }

  /// Tests run on threads that block signals, and a child process would inherit that.
  private static func withAllSignals(_ body: () throws -> Void) rethrows {
    var (none, before) = (sigset_t(), sigset_t())
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    try body()
  }

  deinit { if isRunning { send(SIGKILL) } }

  var isRunning: Bool { process.isRunning }

  func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

  /// Waits for the end. A program that does not come to its end is a failure of the test, not of the machine.
  func wait(seconds: Int = 120) throws -> Outcome {
    try waitUntil(seconds: seconds) { !isRunning }
    let status = process.terminationStatus
    return Outcome(
      ending: process.terminationReason == .exit ? .exit(status) : .signal(status),
      output: try Self.text(outputPath), error: try Self.text(errorPath))
  }

  /// Waits until something is so or the process has ended.
  func waitUntil(seconds: Int = 120, _ condition: () throws -> Bool) throws {
    let limit = ContinuousClock.now + .seconds(seconds)
    while try isRunning && !condition() {
      guard ContinuousClock.now < limit else {
        send(SIGKILL)
        throw Endless(seconds: seconds, error: try Self.text(errorPath))
      }
      usleep(500)
    }
  }

  private static func newFile(_ path: String) throws -> FileHandle {
    try Data().write(to: URL(fileURLWithPath: path))
    return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
  }

  private static func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
  }
}

struct Endless: Error, CustomStringConvertible {
  let seconds: Int
  let error: String

  var description: String { "not at its end after \(seconds) s; it said: …\(error.suffix(2000))" }
}
