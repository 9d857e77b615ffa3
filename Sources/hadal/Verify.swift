internal import ArgumentParser
internal import Communication
internal import Foundation
internal import Training

/// `hadal verify CONFIG.yaml`: the ranks that were started against one rank.
struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare a layout of ranks with one rank on the same batches.",
    discussion: """
      Start it as `hadal train`, under mpirun. The ranks, and rank 0 once more alone, do the same steps; the loss, \
      every gradient, every updated parameter and the routing are compared. Writes no files.
      """)

  /// Of one number roundings may cancel by chance, so there is no measuring it.
  private static let lossLimit = 5e-3

  @Argument(help: "The run's configuration.", completion: .file(extensions: ["yaml", "yml"]))
  var config: String

  @Option(name: .long, help: "Replace a value of the configuration; may be repeated.")
  var set: [String] = []

  @Option(name: .long, help: "Optimizer steps.")
  var steps = 2

  @Option(
    name: .long,
    help: """
      The greatest relative difference: in float32 of any tensor, 1e-5 if not given; in bfloat16 and fp8 of all \
      gradients and of all parameters together, if not given as far as one rank is off from one in float32; \
      there the loss may be off by 0.5 %.
      """)
  var limit: Double?

  func validate() throws {
    if steps < 1 { throw ValidationError("--steps \(steps): must be at least 1") }
    if let limit, !(limit > 0) { throw ValidationError("--limit \(limit): must be greater than 0") }
  }

  func run() throws {
    let configuration = try RunConfiguration.load(path: config, overrides: set)
    try onAllRanks(configuration) { ranks in
      guard ranks.size > 1 else {
        throw ValidationError("there is one rank: start several, as in mpirun -n 2 hadal verify \(config)")
      }
      let verification = Verification(configuration, world: ranks)
      guard let report = try verification.run(steps: steps, device: ProcessDevice.request()) else { return }
      print("\(ranks.size) ranks against one, \(steps) steps")
      let isExact = configuration.precision.mode == .float32
      var failed = isExact && report.rerouted > 0
      for kind in Verification.Kind.allCases {
        guard let worst = report.worst[kind], let overall = report.overall[kind] else { continue }
        let limit = limit ?? (isExact ? 1e-5 : kind == .loss ? Self.lossLimit : report.rounding[kind] ?? 0)
        let isGood = (isExact ? worst.relative : overall) <= limit
        failed = failed || !isGood
        print(
          String(
            format: "%@: %.2e over all %d, worst %.2e (%@), limit %.1e%@", kind.rawValue, overall,
            report.compared[kind] ?? 0, worst.relative, worst.name, limit, isGood ? "" : ": beyond it"))
      }
      print("routing: \(report.rerouted) of \(report.routed) choices differ")
      if failed { throw VerificationFailure() }
    }
  }
}

/// What was printed says it.
private struct VerificationFailure: Error, CustomStringConvertible {
  var description: String { "the ranks do not compute what one rank does: see the worst tensors" }
}
