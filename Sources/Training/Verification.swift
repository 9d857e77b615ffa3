package import Communication
internal import Model
internal import Optimization
internal import Parallel
package import Tensors

/// Compares the ranks of a configuration with one rank that does the same steps alone.
///
/// Both begin with the same weights and train on the same samples in the same micro-batches. They differ in the order
/// of sums over ranks and over a token's experts, and in what travels rounded.
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
    package var overall: [Kind: Double] { sums.mapValues(\.relative) }
    private var sums: [Kind: Distance] = [:]
    /// How many tensors of each kind were compared.
    package fileprivate(set) var compared: [Kind: Int] = [:]
    /// Tokens that went to another expert, and all of them.
    package fileprivate(set) var rerouted = 0
    package fileprivate(set) var routed = 0

    fileprivate mutating func add(_ kind: Kind, _ name: String, _ distance: Distance) {
      compared[kind, default: 0] += 1
      sums[kind, default: Distance()] += distance
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
  /// - Throws: as `Trainer`, and `TrainingError.nonFinite`.
  package func run(steps: Int, device: DeviceRequest = DeviceRequest(pinning: .no)) throws -> Report? {
    let ranks = try Trainer(configuration, resume: .apart, world: world, device: device)
    guard world.rank == 0 else {
      for _ in 0..<steps {
        let step = ranks.sumGradients()
        PieceList(ranks.optimizer.gradients, world, Waiter()).serve()
        _ = ranks.update(step)
        PieceList(ranks.optimizer.weights, world, Waiter()).serve()
      }
      return nil
    }
    var alone = configuration
    (alone.parallel.data, alone.parallel.expert, alone.parallel.exchange) = (1, 1, .auto)
    let one = try Trainer(alone, resume: .apart, device: device)
    var report = Report()
    for _ in 0..<steps {
      let (step, expected) = (ranks.sumGradients(), one.sumGradients())
      compare(step.sums, expected.sums, &report)
      compare(.gradient, ranks.optimizer.gradients, one.optimizer.gradients, on: ranks.model.device, &report)
      _ = ranks.update(step)
      _ = one.update(expected)
      compare(.parameter, ranks.optimizer.weights, one.optimizer.weights, on: ranks.model.device, &report)
    }
    return report
  }

  private func compare(_ found: StepSums, _ expected: StepSums, _ report: inout Report) {
    let names = ["loss"] + found.multiTokenLosses.indices.map { "loss of MTP depth \($0 + 1)" }
    let pairs = zip([found.total] + found.multiTokenLosses, [expected.total] + expected.multiTokenLosses)
    for (name, (found, expected)) in zip(names, pairs) {
      let off = found - expected
      report.add(.loss, name, Distance(difference: off * off, size: expected * expected))
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
    for (a, b) in zip(floats, other.floats) {
      distance += Distance(difference: Double(a - b) * Double(a - b), size: Double(b) * Double(b))
    }
    return distance
  }
}
