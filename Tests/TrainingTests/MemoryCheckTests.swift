import Autograd
import Model
import Tensors
import Testing

@testable import Training

@Suite struct MemoryCheckTests {
  private static let unlimited = "9223372036854771712\n"

  /// What the control groups of a process allow, of 1000 bytes that the machine has.
  @Test(
    arguments: [
      (groups: "", files: [:], limit: 1000),
      (groups: "0::/\n", files: ["/sys/fs/cgroup/memory.max": "700\n"], limit: 700),
      (groups: "0::/\n", files: ["/sys/fs/cgroup/memory.max": "max\n"], limit: 1000),
      // The narrowest of a group and those around it.
      (
        groups: "0::/batch/job\n",
        files: ["/sys/fs/cgroup/batch/memory.max": "300\n", "/sys/fs/cgroup/batch/job/memory.max": "500\n"],
        limit: 300
      ),
      // Version 1 beside an empty version 2; the path is one of the host, that the container does not see.
      (
        groups: "4:cpu,memory:/host/x\n0::/\n",
        files: ["/sys/fs/cgroup/memory/memory.limit_in_bytes": "600\n"],
        limit: 600
      ),
      (
        groups: "4:memory:/x\n", files: ["/sys/fs/cgroup/memory/x/memory.limit_in_bytes": unlimited],
        limit: 1000
      ),
      (groups: "5:cpu:/x\nnonsense\n", files: ["/sys/fs/cgroup/cpu/x/memory.max": "1\n"], limit: 1000),
    ] as [(groups: String, files: [String: String], limit: Int)])
  func controlGroups(groups: String, files: [String: String], limit: Int) {
    #expect(MemoryCheck.limit(physical: 1000, groups: groups) { files[$0] } == limit)
  }

  /// Bytes a parameter, and whose parameters: refused with one byte less.
  @Test func needs() throws {
    var shape = ModelConfiguration()
    (shape.vocabSize, shape.numNextnPredictLayers) = (512, 1)
    let count = ParameterCount(shape)
    let cases: [(check: MemoryCheck, bytes: Int)] = [
      (MemoryCheck(shape, PrecisionSection(mode: .float32)), 4 * count.total),
      (MemoryCheck(shape, PrecisionSection(mode: .float32), multiTokenPrediction: false), 4 * count.main),
      (MemoryCheck(shape, PrecisionSection(mode: .bfloat16)), 6 * count.total),
      (MemoryCheck(shape, PrecisionSection(mode: .bfloat16), gradients: true), 10 * count.total),
    ]
    for (check, bytes) in cases {
      try check.run(available: bytes)
      #expect(throws: TrainingError.self) { try check.run(available: bytes - 1) }
    }
  }

  /// In FP8 weights are held in a byte beside the master; layers that may leave it have room for bfloat16.
  @Test func layersThatMayFallBackCount() throws {
    var shape = ModelConfiguration()
    (shape.vocabSize, shape.numNextnPredictLayers) = (512, 1)
    let count = ParameterCount(shape)
    var run = RunConfiguration()
    (run.precision.mode, run.optimizer.moments) = (.fp8, .bfloat16)
    let all = Float8Settings.GEMM.allCases
    for (fallBack, gemms, bytes) in [
      (.off, all, 1), (.warn, all, 1), (.fallBack, all, 2), (.off, [.fprop], 2), (.fallBack, [.fprop], 2),
    ] as [(Float8Section.FallBack, [Float8Settings.GEMM], Int)] {
      (run.precision.fp8.fallBack, run.precision.fp8.gemms) = (fallBack, gemms)
      let check = MemoryCheck(training: shape, run)
      // Master, compute form, gradient, two moments.
      let bytes = (4 + bytes + 4 + 2 * 2) * count.total
      try check.run(available: bytes)
      #expect(throws: TrainingError.self, "\(fallBack) \(gemms)") { try check.run(available: bytes - 1) }
    }
  }

  /// Packed weights take 4 bytes in each layout, but for the embedding, and are the first thing to do without.
  @Test func packedWeightsCount() throws {
    var shape = ModelConfiguration()
    (shape.vocabSize, shape.numNextnPredictLayers) = (512, 1)
    let count = ParameterCount(shape)
    var run = RunConfiguration()
    for (kept, layouts) in [(TrainingSection.PackedWeights.none, 0), (.forward, 1), (.both, 2)] {
      run.training.packedWeights = kept
      let bytes = 16 * count.total + 4 * layouts * (count.total - count.embedding)
      run.optimizer.moments = .float32
      run.precision.mode = .float32
      try MemoryCheck(training: shape, run).run(available: bytes)
      let error = #expect(throws: TrainingError.self) {
        try MemoryCheck(training: shape, run).run(available: bytes - 1)
      }
      let text = error.map { "\($0)" } ?? ""
      #expect(text.contains("training.packed_weights: none") == (layouts > 0), "\(text)")
    }
  }
}
