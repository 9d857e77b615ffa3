import Autograd
import Model
import OracleSupport
import Tensors
import Testing

@testable import Training

/// A global batch gives the same losses, loads and gradients, however it is cut into micro-batches.
struct AccumulationTests {
  private let length = 24

  /// Four rows; the later, the fewer labels they have.
  private func rows() -> [MicroBatch] {
    (0..<4).map { row in
      let tokens = scrambledTokens(length + 1, below: 64, seed: UInt64(row + 1))
      var labels = Array(tokens.dropFirst())
      for i in length - 5 * row..<length { labels[i] = MicroBatch.ignored }
      return MicroBatch(
        sequences: 1, length: length, inputs: tokens.dropLast(), labels: labels,
        documents: (0..<length).map { Int32($0 / (5 + row)) })
    }
  }

  private func joined(_ rows: some Collection<MicroBatch>, documents: Bool) -> MicroBatch {
    MicroBatch(
      sequences: rows.count, length: length, inputs: rows.flatMap(\.inputs), labels: rows.flatMap(\.labels),
      documents: rows.flatMap { $0.documents ?? [] },
      boundaries: documents ? [.attention, .multiTokenPrediction] : [])
  }

  /// The sums and the gradients of the same model, by tensor.
  private func run(
    _ batches: [MicroBatch], balance: Float = 0.1
  ) throws -> (sums: StepSums, gradients: [(name: String, values: [Float])]) {
    let model = try ModelConfiguration.small.model()
    var runner = StepRunner(model)
    runner.balance.sequence = balance
    let sums = runner.run(batches, multiTokenWeight: 0.3)
    let gradients = model.parameters.flatMap { parameter in
      parameter.parts.map { ($0.name, Array(parameter.gradient(of: $0).floats)) }
    }
    return (sums, gradients)
  }

  @Test(arguments: [false, true])
  func microBatchesAddUp(documents: Bool) throws {
    let rows = rows()
    let whole = try run([joined(rows, documents: documents)])
    for size in [1, 2] {
      let parts = stride(from: 0, to: 4, by: size).map {
        joined(rows[$0..<$0 + size], documents: documents)
      }
      let found = try run(parts)
      #expect(found.sums.loads == whole.sums.loads)
      #expect(found.sums.objective.validLabels == whole.sums.objective.validLabels)
      let pairs = [
        (found.sums.mainLoss, whole.sums.mainLoss), (found.sums.losses.balance, whole.sums.losses.balance),
        (found.sums.multiTokenLosses[0], whole.sums.multiTokenLosses[0]),
        (found.sums.total, whole.sums.total),
      ]
      for (value, expected) in pairs {
        #expect(expected > 0 && abs(value - expected) <= 1e-6 * expected, "\(value) is not \(expected)")
      }
      for (found, expected) in zip(found.gradients, whole.gradients) {
        let error = relativeError(found.values, expected.values)
        #expect(error <= 1e-5, "rows by \(size), \(found.name): \(error)")
      }
    }
  }

  /// Counted by hand: 24, 19, 14 and 9 labels; depth 1 has one less where the last label counts.
  @Test func partsAreMeansOverTheirOwnLabels() throws {
    let sums = try run([joined(rows(), documents: false)]).sums
    #expect(sums.objective.validLabels == [24 + 19 + 14 + 9, 23 + 18 + 13 + 8])
    #expect(abs(sums.mainLoss - sums.losses.tokens[0] / 66) < 1e-12)
    #expect(abs(sums.multiTokenLosses[0] - sums.losses.tokens[1] / 62) < 1e-12)
    let total = sums.mainLoss + 0.3 * sums.multiTokenLosses[0] + sums.losses.balance
    #expect(abs(sums.total - total) < 1e-12)
  }

  /// Every token has two experts in each of the two layers, the module's among them.
  @Test func loadsCountEveryToken() throws {
    let sums = try run([joined(rows(), documents: false)]).sums
    #expect(sums.loads.keys.sorted() == [1, 2])
    for (layer, counts) in sums.loads {
      #expect(counts.count == 8 && counts.reduce(0, +) == 4 * length * 2, "layer \(layer): \(counts)")
    }
  }

  /// The gradient of the balance loss is there, or the comparison above would not see it.
  @Test func theBalanceLossReachesTheRouter() throws {
    let batch = joined(rows(), documents: false)
    let (with, without) = (try run([batch]).gradients, try run([batch], balance: 0).gradients)
    let gates = zip(with, without).filter { $0.0.name.hasSuffix("mlp.gate.weight") }
    #expect(gates.count == 2)
    for (with, without) in gates { #expect(relativeError(with.values, without.values) > 1e-3) }
  }
}
