import Foundation
import Glibc
import Testing
import Training

@Suite struct MetricsLogTests {
  private let directory: ReportingDirectory

  init() throws { directory = try ReportingDirectory() }

  private var path: String { directory.file("metrics.jsonl") }

  private func lines() throws -> [String] {
    try directory.text(of: "metrics.jsonl").split(separator: "\n", omittingEmptySubsequences: false).map(
      String.init)
  }

  private func object(_ line: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
  }

  /// A log with steps 1…6 and an evaluation after every second.
  private func fill() throws {
    let log = try MetricsLog(path: path, resumingAt: 0)
    for step in 1...6 {
      try log.append(StepMetrics.sample(step: step))
      if step.isMultiple(of: 2) { try log.append(EvaluationMetrics.sample(step: step)) }
    }
  }

  private func steps() throws -> [Int] {
    let text = try lines()
    #expect(text.last == "", "the last line has no line feed")
    return try text.dropLast().map { try #require(try object($0)["step"] as? Int) }
  }

  @Test func stepHasStableKeys() throws {
    try MetricsLog(path: path, resumingAt: 0).append(StepMetrics.sample(step: 7))
    #expect(
      try lines() == [
        #"{"kind":"step","step":7,"tokens":57344,"loss":3.25,"loss_main":2.5,"loss_mtp":2.5,"#
          + #""loss_mtp_by_depth":[2.0,3.0],"loss_balance":0.0001,"gradient_norm":0.3333333333333333,"#
          + #""learning_rate":0.0003,"tokens_per_second":4096.0,"step_seconds":2.0,"#
          + #""exposed_communication_seconds":0.0,"sequences":16,"epoch":0.1,"#
          + #""mtp_weight":0.3,"bias_update_speed":0.001,"non_finite_steps":2,"#
          + #""peak_memory_bytes":2750000000,"#
          + #""max_violation":0.5,"layers":["#
          + #"{"layer":1,"max_violation":0.0,"entropy":1.0,"dead_experts":0,"bias_min":0.0,"bias_max":0.0},"#
          + #"{"layer":12,"max_violation":1.0,"entropy":0.5,"dead_experts":2,"bias_min":-0.1,"#
          + #""bias_max":0.3}]}"#,
        "",
      ])
  }

  @Test func absentQuantitiesHaveNoKey() throws {
    var metrics = StepMetrics.sample(step: 1)
    (metrics.losses.mtp, metrics.mtpWeight, metrics.biasUpdateSpeed, metrics.layers) = ([], nil, nil, [])
    metrics.clipCoefficient = 0.5
    try MetricsLog(path: path, resumingAt: 0).append(metrics)
    let keys = Set(try object(lines()[0]).keys)
    #expect(keys.contains("clip_coefficient"))
    #expect(
      keys.isDisjoint(with: [
        "loss_mtp", "loss_mtp_by_depth", "mtp_weight", "bias_update_speed", "layers", "max_violation",
        "non_finite", "skipped",
      ]))
    metrics.isSkipped = true
    try MetricsLog(path: path, resumingAt: 0).append(metrics)
    #expect(try object(lines()[0])["skipped"] as? Int == 1)
  }

  private struct Losses: Decodable {
    var main: Double

    enum CodingKeys: String, CodingKey { case main = "loss_main" }
  }

  @Test(arguments: [
    0.1, -0.0, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 1e16, 1e-5, 123_456_789.123_456_78,
  ])
  func numbersReadBack(value: Double) throws {
    try MetricsLog(path: path, resumingAt: 0).append(StepMetrics.sample(step: 1, main: value))
    let read = try JSONDecoder().decode(Losses.self, from: Data(lines()[0].utf8)).main
    #expect(read.bitPattern == value.bitPattern, "\(read) is not \(value)")
  }

  @Test func nonFiniteNumbersAreNullAndListed() throws {
    var metrics = StepMetrics.sample(step: 1, main: .nan)
    metrics.losses.mtp = [1, -.infinity]
    metrics.layers[1] = LayerLoad(layer: 12, counts: [8, 8], bias: [.nan, 0])
    try MetricsLog(path: path, resumingAt: 0).append(metrics)
    let record = try object(lines()[0])
    #expect(record["loss_main"] is NSNull)
    #expect(
      record["non_finite"] as? [String] == [
        "loss_main", "loss_mtp", "loss_mtp_by_depth[1]", "layers[1].bias_min", "layers[1].bias_max",
      ])
  }

  @Test func evaluation() throws {
    try MetricsLog(path: path, resumingAt: 0).append(EvaluationMetrics.sample(step: 2))
    #expect(
      try lines()[0]
        == #"{"kind":"evaluation","step":2,"tokens":4096,"loss":0.0,"perplexity":1.0,"bits_per_byte":0.0,"#
        + #""loss_mtp":1.5,"loss_mtp_by_depth":[1.0,2.0],"evaluated_tokens":1000,"seconds":null,"#
        + #""non_finite":["seconds"]}"#)
  }

  @Test func resumingDropsLaterSteps() throws {
    try fill()
    let before = try lines()
    let log = try MetricsLog(path: path, resumingAt: 4)
    #expect(try lines().dropLast() == before.prefix(6))
    try log.append(StepMetrics.sample(step: 5))
    #expect(try steps() == [1, 2, 2, 3, 4, 4, 5])
    #expect(directory.names == ["metrics.jsonl"])
  }

  @Test func resumingAtTheEndTouchesNothing() throws {
    try fill()
    let before = try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
    _ = try MetricsLog(path: path, resumingAt: 6)
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int == before)
    #expect(try steps() == [1, 2, 2, 3, 4, 4, 5, 6, 6])
  }

  /// Records of earlier roll backs stay, in the order of time; the log goes on in the file that it now is.
  @Test(arguments: [0, 4])
  func rollingBackDropsLaterSteps(step: Int) throws {
    let log = try MetricsLog(path: path, resumingAt: 0)
    for step in 1...6 { try log.append(StepMetrics.sample(step: step)) }
    let before = try lines()
    for count in 1...2 {
      try log.rollBack(to: step)
      try log.append(
        RollBackMetrics(
          step: step + 1, failedStep: 7, skippedSamples: 8 * step..<56 + count, nonFiniteSteps: count))
      try log.append(StepMetrics.sample(step: step + 1))
    }
    let after = try lines()
    #expect(after.prefix(step) == before.prefix(step))
    #expect(
      after[step] == "{\"kind\":\"roll_back\",\"step\":\(step + 1),\"failed_step\":7,"
        + "\"first_skipped_sample\":\(8 * step),\"next_sample\":57,\"non_finite_steps\":1,"
        + "\"reason\":\"non_finite\"}")
    #expect(try steps().dropFirst(step) == [step + 1, step + 1, step + 1])
    #expect(after[step + 1].contains("\"non_finite_steps\":2,"))
    #expect(directory.names == ["metrics.jsonl"])
    // A run that begins before them meets them again.
    _ = try MetricsLog(path: path, resumingAt: step)
    #expect(try lines() == before.prefix(step) + [""])
  }

  @Test func startingAnewKeepsNothing() throws {
    try fill()
    _ = try MetricsLog(path: path, resumingAt: 0)
    #expect(try directory.text(of: "metrics.jsonl") == "")
  }

  @Test func resumingWithoutAFile() throws {
    try MetricsLog(path: path, resumingAt: 3).append(StepMetrics.sample(step: 4))
    #expect(try steps() == [4])
  }

  /// Wherever a crash cut the file, whole records are kept and nothing else.
  @Test func tornEndIsDropped() throws {
    try fill()
    let whole = try directory.text(of: "metrics.jsonl")
    let lineEnds = whole.utf8.enumerated().filter { $0.element == 0x0a }.map(\.offset)
    for length in stride(from: 0, through: whole.utf8.count, by: 7) {
      try directory.write(String(whole.prefix(length)), to: "metrics.jsonl")
      _ = try MetricsLog(path: path, resumingAt: 6)
      let complete = lineEnds.count { $0 <= length }
      let expected = complete == 0 ? "" : String(whole.prefix(lineEnds[complete - 1] + 1))
      #expect(try directory.text(of: "metrics.jsonl") == expected, "cut at \(length)")
    }
  }

  @Test(arguments: ["\0\0\0\0", "{\"kind\":\"step\"}\n", "\n\n", "{}\nnonsense\n", "{\"step\":5}"])
  func unreadableEndIsDropped(rest: String) throws {
    try fill()
    let whole = try directory.text(of: "metrics.jsonl")
    try directory.write(whole + rest, to: "metrics.jsonl")
    _ = try MetricsLog(path: path, resumingAt: 6)
    #expect(try directory.text(of: "metrics.jsonl") == whole)
  }

  @Test(arguments: [
    "", "{", "[1]", "{\"kind\":\"step\",\"step\":2.5}", "{\"kind\":\"step\",\"step\":\"2\"}", "\0",
  ])
  func damageBeforeARecordIsRefused(line: String) throws {
    try fill()
    let damaged = ([try lines()[0], line] + (try lines().dropFirst())).joined(separator: "\n")
    try directory.write(damaged, to: "metrics.jsonl")
    let error = #expect(throws: ReportingError.self) { try MetricsLog(path: path, resumingAt: 4) }
    #expect(error?.kind == .malformed(line: 2))
    #expect(error?.path == path)
    #expect(try directory.text(of: "metrics.jsonl") == damaged)
  }
}

@Suite struct MetricsLogFailureTests {
  private let directory: ReportingDirectory

  init() throws { directory = try ReportingDirectory() }

  @Test func missingDirectory() {
    let path = directory.file("no/metrics.jsonl")
    let error = #expect(throws: ReportingError.self) { try MetricsLog(path: path, resumingAt: 0) }
    #expect(error?.kind == .system(ENOENT))
    #expect(error?.description.contains(path) == true)
    let second = #expect(throws: ReportingError.self) { try MetricsLog(path: path, resumingAt: 5) }
    #expect(second?.kind == .system(ENOENT))
  }

  @Test(arguments: [0, 5])
  func directoryInPlaceOfTheFile(step: Int) {
    let error = #expect(throws: ReportingError.self) {
      try MetricsLog(path: directory.path, resumingAt: step)
    }
    #expect(error?.kind == .system(EISDIR))
  }

  /// `/dev/full` refuses every byte.
  @Test func fullDisk() throws {
    let log = try MetricsLog(path: "/dev/full", resumingAt: 0)
    let error = #expect(throws: ReportingError.self) { try log.append(StepMetrics.sample(step: 1)) }
    #expect(error?.kind == .system(ENOSPC))
    #expect(error?.description.contains("/dev/full") == true)
  }

  /// A limit on the size of files lets the system take a part of a line and refuse the rest.
  @Test func noPartOfALineIsLeft() async {
    await #expect(processExitsWith: .success) {
      let directory = try ReportingDirectory()
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(rlim_cur: 1000, rlim_max: 1000)
      try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
      let log = try MetricsLog(path: directory.file("metrics.jsonl"), resumingAt: 0)
      try log.append(StepMetrics.sample(step: 1))
      let before = try directory.text(of: "metrics.jsonl")
      let error = #expect(throws: ReportingError.self) { try log.append(StepMetrics.sample(step: 2)) }
      #expect(error?.kind == .system(EFBIG))
      #expect(try directory.text(of: "metrics.jsonl") == before)
      #expect(before.utf8.count > 500, "the second line would have fitted")
    }
  }
}
