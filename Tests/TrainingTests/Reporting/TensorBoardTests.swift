import Foundation
import Testing

@testable import Training

@Suite struct TensorBoardTests {
  private let directory: ReportingDirectory

  init() throws { directory = try ReportingDirectory() }

  private func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: directory.file(name))))
  }

  /// Source: RFC 3720, appendix B.4, and the catalogue of parametrised CRC algorithms (CRC-32/ISCSI).
  @Test func publishedChecksums() {
    let crc = CRC32C()
    #expect(crc.checksum(Array("123456789".utf8)) == 0xe306_9283)
    #expect(crc.checksum([]) == 0)
    #expect(crc.checksum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
    #expect(crc.checksum([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
    #expect(crc.checksum((0..<32).map { UInt8($0) }) == 0x46dd_794e)
    #expect(crc.checksum((0..<32).map { UInt8(31 - $0) }) == 0x113f_db5c)
  }

  /// The file that tensorboard 2.21.0 (`RecordWriter`, `Event.SerializeToString`) makes of the same events.
  private static let golden = """
    1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe91000000000000000
    95fbfe180900001040fc54d94110ad023a020801cb79b93b290100000000000031afd0a60900006040fc54d94110ad02
    2a9a020a180a116576616c756174696f6e2f746f6b656e7315000080450a160a0f6576616c756174696f6e2f6c6f7373
    15000000000a1c0a156576616c756174696f6e2f706572706c6578697479150000803f0a1f0a186576616c756174696f
    6e2f626974735f7065725f6279746515000000000a1a0a136576616c756174696f6e2f6c6f73735f6d7470150000c03f
    0a250a1e6576616c756174696f6e2f6c6f73735f6d74705f62795f64657074682f31150000803f0a250a1e6576616c75
    6174696f6e2f6c6f73735f6d74705f62795f64657074682f3215000000400a220a1b6576616c756174696f6e2f657661
    6c75617465645f746f6b656e731500007a440a190a126576616c756174696f6e2f7365636f6e6473150000807f8cace3
    4c
    """

  @Test func sameBytesAsTensorBoard() throws {
    let writer = try TensorBoardWriter(
      directory: directory.path, resumingAt: 300, time: 1_700_000_000.25, host: "node-1")
    try writer.write(EvaluationMetrics.sample(step: 301), time: 1_700_000_001.5)
    #expect(directory.names == ["events.out.tfevents.1700000000.node-1"])
    let found = try bytes(directory.names[0]).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    #expect(found == Self.golden.filter { !$0.isWhitespace })
  }

  /// The second of two sessions in one file writes what a file of its own would begin with.
  @Test(arguments: [0, 300])
  func forgettingIsWhatANewSessionDoes(step: Int) throws {
    let (other, time) = (try ReportingDirectory(), 1_700_000_000.25)
    _ = try TensorBoardWriter(directory: other.path, resumingAt: step, time: time, host: "h")
    let start = Array(try Data(contentsOf: URL(fileURLWithPath: other.file(other.names[0]))))
    let writer = try TensorBoardWriter(directory: directory.path, resumingAt: 7, time: time, host: "h")
    let before = try bytes(directory.names[0])
    try writer.forget(after: step, time: time)
    // The version comes before the start: 24 bytes of content, and 16 of the record.
    #expect(try bytes(directory.names[0]) == before + start.dropFirst(40))
  }

  @Test func tagsOfAStep() {
    let scalars = StepMetrics.sample(step: 1).scalars
    #expect(
      scalars.map(\.tag) == [
        "train/tokens", "train/loss", "train/loss_main", "train/loss_mtp", "train/loss_mtp_by_depth/1",
        "train/loss_mtp_by_depth/2", "train/loss_balance", "train/gradient_norm", "train/learning_rate",
        "train/tokens_per_second", "train/step_seconds", "train/exposed_communication_seconds",
        "train/sequences", "train/epoch",
        "train/mtp_weight", "train/bias_update_speed", "train/non_finite_steps", "train/peak_memory_bytes",
        "train/max_violation",
        "moe/layer_01/max_violation", "moe/layer_01/entropy", "moe/layer_01/dead_experts",
        "moe/layer_01/bias_min", "moe/layer_01/bias_max", "moe/layer_12/max_violation",
        "moe/layer_12/entropy", "moe/layer_12/dead_experts", "moe/layer_12/bias_min",
        "moe/layer_12/bias_max",
      ])
    #expect(scalars.first { $0.tag == "train/learning_rate" }?.value == 3e-4)
    #expect(scalars.first { $0.tag == "moe/layer_12/bias_max" }?.value == 0.3)
  }

  @Test func sessionsOfOneSecondHaveFilesOfTheirOwn() throws {
    for step in [0, 1, 2] {
      _ = try TensorBoardWriter(directory: directory.path, resumingAt: step, time: 17, host: "h")
    }
    #expect(
      directory.names == [
        "events.out.tfevents.17.h", "events.out.tfevents.17.h.1", "events.out.tfevents.17.h.2",
      ])
  }

  @Test func missingDirectory() {
    let error = #expect(throws: ReportingError.self) {
      try TensorBoardWriter(directory: directory.file("no"), resumingAt: 0)
    }
    #expect(error?.path.hasPrefix(directory.file("no/events.out.tfevents.")) == true)
  }
}
