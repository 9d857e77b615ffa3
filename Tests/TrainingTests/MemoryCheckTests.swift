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

  private static func shape() -> ModelConfiguration {
    var shape = ModelConfiguration()
    (shape.vocabSize, shape.numNextnPredictLayers) = (512, 1)
    return shape
  }

  /// A run that is never saved in the background.
  private static func run() -> RunConfiguration {
    var run = RunConfiguration()
    run.checkpoint.asynchronous = false
    return run
  }

  /// Norm gains and routers, of which there are no rounded copies.
  private static func float32(_ shape: ModelConfiguration, modules: Int) -> Int {
    let (d, layers) = (shape.hiddenSize, shape.numHiddenLayers + modules)
    let latents = (shape.qLoraRank ?? 0) + shape.kvLoraRank
    let routers = (layers - shape.firstKDenseReplace) * shape.nRoutedExperts * d
    return layers * (2 * d + latents) + d + modules * 3 * d + routers
  }

  /// Refused with one byte less.
  private func expect(_ check: MemoryCheck, needs bytes: Int) throws {
    try check.run(available: bytes)
    #expect(throws: TrainingError.self) { try check.run(available: bytes - 1) }
  }

  /// Bytes a parameter, and whose parameters.
  @Test func needs() throws {
    let shape = Self.shape()
    let (count, single) = (ParameterCount(shape), Self.float32(shape, modules: 1))
    try expect(MemoryCheck(shape, PrecisionSection(mode: .float32)), needs: 4 * count.total)
    try expect(
      MemoryCheck(shape, PrecisionSection(mode: .float32), multiTokenPrediction: false), needs: 4 * count.main
    )
    try expect(MemoryCheck(shape, PrecisionSection(mode: .bfloat16)), needs: 6 * count.total - 2 * single)
    try expect(
      MemoryCheck(shape, PrecisionSection(mode: .bfloat16), multiTokenPrediction: false),
      needs: 6 * count.main - 2 * Self.float32(shape, modules: 0))
    try expect(
      MemoryCheck(shape, PrecisionSection(mode: .bfloat16), gradients: true),
      needs: 10 * count.total - 2 * single)
  }

  private func training(
    _ shape: ModelConfiguration, _ run: RunConfiguration, nodes: [Int] = [0], rank: Int = 0
  ) throws -> MemoryCheck {
    MemoryCheck(training: shape, run, try RankLayout(run, shape, nodes: nodes), rank: rank)
  }

  /// In FP8 codes and their scales are held beside the master; layers that may leave it have room for bfloat16 instead,
  /// and products that read numbers have both.
  @Test func layersThatMayFallBackCount() throws {
    let shape = Self.shape()
    let (count, single) = (ParameterCount(shape), Self.float32(shape, modules: 1))
    let (d, layers) = (shape.hiddenSize, shape.numHiddenLayers + 1)
    // Embedding, head and the projection of the MTP module stay bfloat16.
    let halves = count.embedding + count.head + 2 * d * d
    let coded = count.total - single - halves
    // A block of 128 × 128 has a scale; the latent's projection of 576 rows ends in half a block.
    let (uneven, tiles) = (layers * 576 * d, layers * 5 * d / 128)
    let codes = coded + 4 * ((coded - uneven) / (128 * 128) + tiles)
    var run = Self.run()
    (run.precision.mode, run.optimizer.moments) = (.fp8, .bfloat16)
    let all = Float8Settings.GEMM.allCases
    for (fallBack, gemms, bytes) in [
      (.off, all, codes), (.warn, all, codes), (.fallBack, all, 2 * coded), (.off, [.wgrad], 2 * coded),
      (.off, [.fprop], 2 * coded + codes), (.fallBack, [.fprop], 2 * coded + codes),
    ] as [(Float8Section.FallBack, [Float8Settings.GEMM], Int)] {
      (run.precision.fp8.fallBack, run.precision.fp8.gemms) = (fallBack, gemms)
      // Master, gradient, two moments.
      try expect(training(shape, run), needs: 12 * count.total + 2 * halves + bytes)
    }
  }

  /// What is written while training goes on is there twice: masters, moments, router biases.
  @Test func theCopyThatIsSavedCounts() throws {
    let shape = Self.shape()
    let count = ParameterCount(shape)
    var run = Self.run()
    (run.precision.mode, run.optimizer.moments) = (.float32, .bfloat16)
    let bytes = 12 * count.total
    try expect(training(shape, run), needs: bytes)
    run.checkpoint.asynchronous = true
    // The module has a router too.
    let biases = count.routerBiases + shape.nRoutedExperts
    try expect(training(shape, run), needs: bytes + 8 * count.total + 4 * biases)
    let error = #expect(throws: TrainingError.self) { try training(shape, run).run(available: bytes) }
    let text = error.map { "\($0)" } ?? ""
    #expect(text.contains("the copy that is saved in the background"), "\(text)")
    #expect(text.contains("checkpoint.asynchronous: false"), "\(text)")
    run.checkpoint.every = nil
    try expect(training(shape, run), needs: bytes)
  }

  /// Packed weights take 4 bytes in each layout, but for the embedding, gains and routers, and are the first thing to do
  /// without.
  @Test func packedWeightsCount() throws {
    let shape = Self.shape()
    let count = ParameterCount(shape)
    var run = Self.run()
    for (kept, layouts) in [(TrainingSection.PackedWeights.none, 0), (.forward, 1), (.both, 2)] {
      run.training.packedWeights = kept
      let packed = count.total - count.embedding - Self.float32(shape, modules: 1)
      let bytes = 16 * count.total + 4 * layouts * packed
      run.optimizer.moments = .float32
      run.precision.mode = .float32
      try training(shape, run).run(available: bytes)
      let error = #expect(throws: TrainingError.self) {
        try training(shape, run).run(available: bytes - 1)
      }
      let text = error.map { "\($0)" } ?? ""
      #expect(text.contains("training.packed_weights: none") == (layouts > 0), "\(text)")
    }
  }

  /// What the ranks of a node hold together: shares of experts and of moments, and every rank's copy of the rest.
  @Test func ranksOfANodeShareItsMemory() throws {
    let shape = Self.shape()
    var run = Self.run()
    (run.precision.mode, run.optimizer.moments) = (.float32, .float32)
    (run.parallel.expert, run.parallel.data) = (4, 4)
    let count = ParameterCount(shape)
    let layers = shape.numHiddenLayers + 1 - shape.firstKDenseReplace
    let experts = layers * 3 * shape.hiddenSize * shape.moeIntermediateSize * shape.nRoutedExperts
    let others = count.total - experts
    // Weights and gradients of all copies; the moments of each element once, experts' where they are.
    let each = 8 * (others + experts / 4) + 8 * (experts / 4)
    for (nodes, ranks) in [([0, 0, 0, 0], 4), ([0, 0, 1, 1], 2), ([0, 1, 2, 3], 1)] {
      let check = try training(shape, run, nodes: nodes, rank: 3)
      let moments = 8 * others * ranks / 4
      try check.run(available: each * ranks + moments + 4096)
      let error = #expect(throws: TrainingError.self) {
        try check.run(available: each * ranks + moments - 4096)
      }
      let text = error.map { "\($0)" } ?? ""
      #expect(text.contains("of the \(ranks) ranks on this node") == (ranks > 1), "\(text)")
    }
  }

  /// No arithmetic overflows on the way to the refusal.
  @Test func beyondCounting() throws {
    var shape = Self.shape()
    (shape.hiddenSize, shape.moeIntermediateSize, shape.nRoutedExperts) = (1 << 18, 1 << 18, 1024)
    let error = #expect(throws: TrainingError.self) {
      try training(shape, Self.run()).run(available: .max - 1)
    }
    #expect(error.map { "\($0)" }?.contains("parameters needs") == true)
  }
}
