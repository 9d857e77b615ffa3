package import Communication
internal import Model
internal import Optimization
internal import Parallel
package import Tensors

/// Compares the ranks of a configuration with one rank that does the same steps alone.
///
/// Both begin with the same weights and train on the same samples in the same micro-batches. They differ in the order
/// of sums over ranks and over a token's experts, and in what travels rounded. In bfloat16 and FP8 these roundings, and
/// near ties between experts that fall otherwise with them, are of the size of those of the precision itself: how far
/// one rank is off from one in float32 is the measure there.
package struct Verification {
  private let configuration: RunConfiguration
  private let world: Communicator

  /// How far a tensor is off: ‖ranks − one‖ / ‖one‖.
  package struct Difference: Sendable, Hashable {
    package let name: String
    package let relative: Double
  }

  /// What is compared of a step.
  package enum Kind: String, Sendable, CaseIterable {
    case loss, gradient, parameter
  }

  /// What rank 0 found.
  package struct Report: Sendable {
    /// The tensor of each kind that is off most, over all steps.
    package fileprivate(set) var worst: [Kind: Difference] = [:]
    /// All tensors of a kind as one vector.
    package var overall: [Kind: Double] { Self.overall(differences) }
    private var differences: [Kind: [String: Distance]] = [:]
    /// All tensors of a kind of one rank, as one vector, beside those of one rank in float32; empty in float32.
    package var rounding: [Kind: Double] { Self.overall(roundings) }
    private var roundings: [Kind: [String: Distance]] = [:]
    /// How many tensors of each kind were compared.
    package fileprivate(set) var compared: [Kind: Int] = [:]
    /// Tokens that went to another expert, and all of them.
    package fileprivate(set) var rerouted = 0
    package fileprivate(set) var routed = 0

    /// The tensor of a kind that is off most, as a multiple of how far it is off from float32 on one rank; nil in
    /// float32. One that is no number is off most of all.
    package func worstBesideRounding(_ kind: Kind) -> Difference? {
      let shares = (differences[kind] ?? [:]).compactMap { name, distance in
        roundings[kind]?[name].map { rounding in
          let isSame = distance.difference == 0
          return Difference(
            name: name, relative: isSame ? 0 : (distance.difference / rounding.difference).squareRoot())
        }
      }
      return shares.max { !$0.relative.isNaN && !($0.relative >= $1.relative) }
    }

    private static func overall(_ distances: [Kind: [String: Distance]]) -> [Kind: Double] {
      distances.mapValues { tensors in
        tensors.sorted { $0.key < $1.key }.reduce(into: Distance()) { $0 += $1.value }.relative
      }
    }

    fileprivate mutating func addRounding(_ kind: Kind, _ name: String, _ distance: Distance) {
      roundings[kind, default: [:]][name, default: Distance()] += distance
    }

    fileprivate mutating func add(_ kind: Kind, _ name: String, _ distance: Distance) {
      compared[kind, default: 0] += 1
      differences[kind, default: [:]][name, default: Distance()] += distance
      let relative = distance.relative
      // Written so that a NaN is worse than any number.
      if let worst = worst[kind], !(relative > worst.relative || relative.isNaN) { return }
      worst[kind] = Difference(name: name, relative: relative)
    }
  }

  package init(_ configuration: RunConfiguration, world: Communicator) {
    (self.configuration, self.world) = (configuration, world)
  }

  /// Does some steps in both ways.
  ///
  /// - Returns: nil on the ranks but the first.
  /// - Throws: as `Trainer`, and `TrainingError.nonFinite` on the ranks whose step it is.
  package func run(steps: Int, device: DeviceRequest = DeviceRequest(pinning: .no)) throws -> Report? {
    let ranks = try Trainer(configuration, resume: .apart, world: world, device: device)
    guard world.rank == 0 else {
      for _ in 0..<steps {
        let step = try finite(ranks.sumGradients(), of: ranks)
        PieceList(ranks.optimizer.gradients, world, Waiter()).serve()
        _ = ranks.update(step)
        PieceList(ranks.optimizer.weights, world, Waiter()).serve()
      }
      ranks.settle()
      return nil
    }
    var alone = configuration
    alone.parallel = ParallelSection()
    (alone.parallel.data, alone.parallel.expert) = (1, 1)
    let one = try Trainer(alone, resume: .apart, device: device)
    let isExact = alone.precision.mode == .float32
    alone.precision = PrecisionSection(mode: .float32)
    let exact = isExact ? nil : try Trainer(alone, resume: .apart, device: device)
    var report = Report()
    for _ in 0..<steps {
      let step = try finite(ranks.sumGradients(), of: ranks)
      // The same samples and rate: a batch that grows with the tokens is a multiple of what the ranks take together.
      let expected = try finite(one.sumGradients(samples: step.samples), of: one)
      let unrounded = exact?.sumGradients(samples: step.samples)
      let rate = ranks.rate(step)
      compare(step.sums, expected.sums, unrounded, &report)
      compare(.gradient, ranks.optimizer.gradients, one.optimizer.gradients, on: ranks.model.device, &report)
      compare(.gradient, one.optimizer.gradients, exact?.optimizer.gradients, &report)
      _ = ranks.update(step, rate: rate)
      _ = one.update(expected, rate: rate)
      _ = unrounded.map { exact?.update($0, rate: rate) }
      compare(.parameter, ranks.optimizer.weights, one.optimizer.weights, on: ranks.model.device, &report)
      compare(.parameter, one.optimizer.weights, exact?.optimizer.weights, &report)
    }
    ranks.settle()
    return report
  }

  private func finite(_ step: SummedStep, of trainer: Trainer) throws -> SummedStep {
    guard step.isFinite else { throw TrainingError.nonFinite(trainer.cause(step), tolerated: 0) }
    return step
  }

  /// One rank beside one in float32.
  private func compare(
    _ kind: Kind, _ rounded: [TensorPiece], _ exact: [TensorPiece]?, _ report: inout Report
  ) {
    for (rounded, exact) in zip(rounded, exact ?? []) {
      report.addRounding(kind, rounded.name, rounded.tensor.distance(from: exact.tensor))
    }
  }

  private func compare(
    _ found: StepSums, _ expected: StepSums, _ exact: SummedStep?, _ report: inout Report
  ) {
    if let exact { report.addRounding(.loss, "loss", Distance(expected.total, exact.sums.total)) }
    let names = ["loss"] + found.multiTokenLosses.indices.map { "loss of MTP depth \($0 + 1)" }
    let pairs = zip([found.total] + found.multiTokenLosses, [expected.total] + expected.multiTokenLosses)
    for (name, (found, expected)) in zip(names, pairs) {
      report.add(.loss, name, Distance(found, expected))
    }
    for (layer, counts) in expected.loads {
      let other = found.loads[layer] ?? []
      report.rerouted += zip(counts, other).reduce(0) { $0 + abs($1.0 - $1.1) } / 2
      report.routed += counts.reduce(0, +)
    }
  }

  private func compare(
    _ kind: Kind, _ found: [TensorPiece], _ expected: [TensorPiece], on device: Device, _ report: inout Report
  ) {
    let list = PieceList(found, world, Waiter())
    let all = Dictionary(uniqueKeysWithValues: expected.map { ($0.name, $0.tensor) })
    precondition(all.count == list.records.count, "\(list.records.count) tensors beside \(all.count)")
    for record in list.records {
      guard let expected = all[record.name] else { preconditionFailure("no \(record.name) on one rank") }
      report.add(kind, record.name, list.whole(record.name, on: device).distance(from: expected))
    }
    list.close()
  }
}

/// ‖a − b‖² and ‖b‖².
private struct Distance: Sendable {
  var difference = 0.0
  var size = 0.0

  init() {}
  init(_ found: Double, _ expected: Double) {
    (difference, size) = ((found - expected) * (found - expected), expected * expected)
  }

  /// ‖a − b‖ / ‖b‖; 0 where both are zero.
  var relative: Double { difference == 0 ? 0 : (difference / size).squareRoot() }

  static func += (sum: inout Distance, addend: Distance) {
    sum.difference += addend.difference
    sum.size += addend.size
  }
}

extension Tensor {
  fileprivate func distance(from other: Tensor) -> Distance {
    var distance = Distance()
    for (a, b) in zip(floats, other.floats) { distance += Distance(Double(a), Double(b)) }
    return distance
  }
}
