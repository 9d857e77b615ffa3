internal import ArgumentParser
internal import Checkpoint
internal import Communication
internal import Data
internal import Foundation
internal import Generation
internal import Model
internal import Pipeline
internal import Tensors
internal import Training

/// The one place where errors become words on stderr and an exit code.
struct CommandFailure {
  /// Where the text goes: help that was asked for is no failure.
  let isFailure: Bool
  let text: String
  /// 0: nothing failed; 2: the input is at fault (options, configuration, files, data); 1: anything else.
  let code: Int32

  init(_ error: any Error) {
    if let code = error as? ExitCode {
      (isFailure, text, self.code) = (code != .success, "", code.rawValue)
    } else if Self.isInputError(error) {
      (isFailure, text, code) = (true, Self.block("\(error)"), 2)
    } else {
      switch Hadal.exitCode(for: error) {
      case .success: (isFailure, text, code) = (false, Hadal.fullMessage(for: error), 0)
      case .validationFailure: (isFailure, text, code) = (true, Self.usageBlock(error), 2)
      default: (isFailure, text, code) = (true, Self.block(Hadal.message(for: error)), 1)
      }
    }
  }

  /// Faults of what the user gave. An error type that is not listed here is reported with exit code 1.
  private static func isInputError(_ error: any Error) -> Bool {
    switch error {
    case is ConfigurationError, is CheckpointError, is TokenizerError, is DocumentError, is PreparationError,
      is ShardError, is FileError, is GenerationError, is TrainingError, is DeviceError, is OptionError,
      is ProbeError, is ReportingError, is ScheduleError:
      true
    case CommunicationError.grid: true
    default: false
    }
  }

  /// One line as it is; of several, each under the first.
  private static func block(_ message: String) -> String {
    let lines = message.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count > 1 else { return "hadal: error: \(message)" }
    return "hadal: error:\n" + lines.map { "  \($0)" }.joined(separator: "\n")
  }

  /// What argument-parser says, with our name in front: the message and how the command is used.
  private static func usageBlock(_ error: any Error) -> String {
    let text = Hadal.fullMessage(for: error)
    let prefix = "Error: "
    return "hadal: error: " + (text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text)
  }

  func exit() -> Never {
    if !text.isEmpty {
      let line = Data((text + (text.hasSuffix("\n") ? "" : "\n")).utf8)
      (isFailure ? FileHandle.standardError : FileHandle.standardOutput).write(line)
    }
    Foundation.exit(code)
  }
}

/// An option whose value cannot be used.
struct OptionError: Error, CustomStringConvertible {
  /// As it is typed: `--tokens`.
  let option: String
  /// What is wrong with it and what to do.
  let reason: String

  var description: String { "\(option): \(reason)" }
}
