import Foundation
import Testing

/// A directory in which one test uses `hadal`; removed with it.
final class Workbench {
  /// Where programs run; relative paths are relative to it.
  let path: String
  private let root: String
  private let logs: String

  init() throws {
    root = FileManager.default.temporaryDirectory.path + "/hadal-cli-" + UUID().uuidString
    (path, logs) = ("\(root)/work", "\(root)/logs")
    for directory in [path, logs] {
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }
    try write("tiny.yaml", TinyRecipe.configuration)
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  /// Starts `hadal` here.
  func start(_ arguments: [String], environment: [String: String] = [:]) throws -> ChildProcess {
    try start(HadalBinary.path(), arguments, environment: environment)
  }

  /// Starts any program here.
  func start(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:]
  ) throws -> ChildProcess {
    try ChildProcess(executable, arguments, environment: environment, directory: path, logs: logs)
  }

  func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
    try start(arguments, environment: environment).wait()
  }

  /// Runs what must go well.
  @discardableResult
  func succeed(
    _ arguments: [String], environment: [String: String] = [:], location: SourceLocation = #_sourceLocation
  ) throws -> Outcome {
    let outcome = try run(arguments, environment: environment)
    try #require(
      outcome.ending == .exit(0), "hadal \(arguments.joined(separator: " ")): \(outcome)",
      sourceLocation: location)
    return outcome
  }

  /// Makes `corpus`, of about ten thousand tokens in a vocabulary of 320.
  func prepare() throws {
    try write("text.txt", TinyRecipe.text)
    try succeed([
      "prepare", "--input", "text.txt", "--separator", "%", "--vocab-size", "320", "--held-out", "0.1",
      "--output", "corpus",
    ])
  }

  /// Trains under the name of a run, with values of the configuration replaced.
  @discardableResult
  func train(
    _ run: String, _ settings: [String] = [], options: [String] = [], environment: [String: String] = [:],
    location: SourceLocation = #_sourceLocation
  ) throws -> Outcome {
    try succeed(
      Self.training(run, settings) + options, environment: environment, location: location)
  }

  static func training(_ run: String, _ settings: [String] = []) -> [String] {
    ["train", "tiny.yaml"] + (["run.name=\(run)"] + settings).flatMap { ["--set", $0] }
  }

  /// The metrics of a run.
  func metrics(_ run: String) -> MetricsFile { MetricsFile(path: "\(path)/runs/\(run)/metrics.jsonl") }
}

extension Workbench {
  func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
  }

  func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

  func write(_ name: String, _ bytes: some Sequence<UInt8>) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
  }

  func write(_ name: String, _ text: String) throws { try write(name, text.utf8) }

  /// Changes a file: what a disk, a copy that was cut off, or an editor does to it.
  func damage(_ name: String, _ change: (inout [UInt8]) -> Void) throws {
    var content = try bytes(name)
    change(&content)
    try write(name, content)
  }

  func copy(_ source: String, to target: String) throws {
    try FileManager.default.copyItem(atPath: "\(path)/\(source)", toPath: "\(path)/\(target)")
  }

  func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: "\(path)/\(name)") }

  func names(_ directory: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "\(path)/\(directory)").sorted()
  }

  /// Everything below the directory with its content; that of a directory is empty.
  func snapshot() throws -> [String: Data] {
    var files: [String: Data] = [:]
    for case let name as String in FileManager.default.enumerator(atPath: path) ?? .init() {
      files[name] = (try? Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))) ?? Data()
    }
    return files
  }

  /// The steps of the checkpoints of a run, ascending.
  func checkpoints(_ run: String) throws -> [Int] {
    try names("runs/\(run)/checkpoints").compactMap { name in
      name.hasPrefix("step-") ? Int(name.dropFirst("step-".count)) : nil
    }.sorted()
  }

  /// All tensors of a checkpoint, as they are stored.
  func weights(_ run: String, step: Int) throws -> [UInt8] {
    try bytes("runs/\(run)/checkpoints/step-\(step)/rank-00000-of-00001.safetensors")
  }
}
