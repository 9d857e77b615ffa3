import Checkpoint
import Foundation
import Testing

/// A small checkpoint whose content depends on its step and on `run`.
enum SampleCheckpoint {
  static let tensors = [
    TensorRecord(name: "model.norm.weight", type: .float32, shape: [5]),
    TensorRecord(name: "model.embed_tokens.weight", type: .bfloat16, shape: [3, 7]),
    TensorRecord(name: "optimizer.none", type: .float32, shape: [0, 2]),
    TensorRecord(name: "losses", type: .float64, shape: []),
  ]

  static func contents(step: Int, run: Int = 0) -> CheckpointContents {
    CheckpointContents(
      configuration: "model:\n  hidden_size: 7  # \"é\"\n", step: step, tokens: step * 1000,
      nextSample: step * 8,
      state: ["run": .integer(run), "best_loss": .number(2.5), "name": .string("sample")],
      tensors: tensors
    ) { (name, write) throws(CheckpointError) in
      let bytes = elements(name, step: step, run: run)
      let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
      defer { whole.deallocate() }
      whole.copyBytes(from: bytes)
      try write(UnsafeRawBufferPointer(whole))
    }
  }

  static func elements(_ name: String, step: Int, run: Int) -> [UInt8] {
    content(tensors.first { $0.name == name }!).map { $0 &+ UInt8(truncatingIfNeeded: step * 31 + run * 17) }
  }

  /// Requires that `checkpoint` is the one that `contents` describes.
  static func expect(
    _ checkpoint: StoredCheckpoint, step: Int, run: Int = 0,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(checkpoint.manifest.step == step, sourceLocation: sourceLocation)
    #expect(checkpoint.manifest.state["run"] == .integer(run), sourceLocation: sourceLocation)
    #expect(checkpoint.names == tensors.map(\.name).sorted(), sourceLocation: sourceLocation)
    for record in tensors {
      #expect(try checkpoint.entry(record.name) == record, sourceLocation: sourceLocation)
      let found = try Array(checkpoint.bytes(record.name))
      #expect(found == elements(record.name, step: step, run: run), sourceLocation: sourceLocation)
    }
  }
}
