import Autograd
import Model
import OracleSupport
import Tensors
import Testing

/// No position sees the token that it predicts: specification §8.9(i).
struct CausalityTests {
  private let row: [Int32] = [3, 141, 59, 265, 35, 89, 79, 32, 38, 46, 264, 33]

  /// The logits of each depth and position for one row.
  private func logits(_ model: DeepSeek, _ row: [Int32]) -> [[[Float]]] {
    let batch = MicroBatch(rows: [row])
    let context = ForwardContext(
      tape: Tape(on: model.device, isRecording: false), sequences: 1, length: row.count,
      table: model.rotaryTable(row.count))
    let objective = Objective(
      validLabels: batch.validLabels(depths: model.predictors.count), multiTokenWeight: 0.3)
    return model.losses(batch, objective, context).hidden.map { hidden in
      let all = model.logits(hidden)
      return (0..<row.count).map { i in
        Array(all.floats[i * all.columns..<(i + 1) * all.columns])
      }
    }
  }

  /// Two modules of random weights, large enough that a token makes a difference.
  private func deepModel() throws -> DeepSeek {
    var configuration = tinyConfiguration()
    configuration.numNextnPredictLayers = 2
    configuration.initializerRange = 0.1
    let model = DeepSeek(configuration, compute: .float32, on: try Device(threads: 2))
    model.initialize(seed: 11)
    return model
  }

  /// Position i of depth k reads t_{i+k}, and nothing after it.
  private func checkEveryToken(_ model: DeepSeek) {
    let expected = logits(model, row)
    for changed in row.indices {
      var other = row
      other[changed] = (row[changed] + 160) % 320
      let found = logits(model, other)
      for depth in found.indices {
        // The first position that reads the token; at the end of a row deeper positions are filled up.
        let first = changed - depth
        for i in 0..<max(0, min(first, row.count)) {
          let error = relativeError(found[depth][i], expected[depth][i])
          // Rounding only: products of other shapes may be summed in another order.
          #expect(error <= 1e-6, "depth \(depth): token \(changed) changes position \(i) by \(error)")
        }
        guard first >= 0 else { continue }
        let error = relativeError(found[depth][first], expected[depth][first])
        #expect(error > 1e-3, "depth \(depth): token \(changed) changes position \(first) by only \(error)")
      }
    }
  }

  @Test func theOracleModelLooksOneTokenAhead() throws {
    checkEveryToken(try tinyModel(multiTokenPrediction: true))
  }

  @Test func twoModulesLookTwoTokensAhead() throws { checkEveryToken(try deepModel()) }

  /// Sequences of a micro-batch and positions before a document's end do not see each other's tokens.
  @Test func rowsDoNotSeeEachOther() throws {
    let model = try tinyModel(multiTokenPrediction: true)
    let other = row.reversed().map { ($0 + 7) % 320 }
    func hidden(_ rows: [[Int32]]) -> [[Float]] {
      let batch = MicroBatch(rows: rows)
      let context = ForwardContext(
        tape: Tape(on: model.device, isRecording: false), sequences: rows.count, length: row.count,
        table: model.rotaryTable(row.count))
      let objective = Objective(validLabels: batch.validLabels(depths: 1), multiTokenWeight: 0.3)
      return model.losses(batch, objective, context).hidden.map { Array($0.floats) }
    }
    let (together, first, second) = (hidden([row, other]), hidden([row]), hidden([other]))
    for depth in 0...1 {
      #expect(relativeError(together[depth], first[depth] + second[depth]) <= 1e-6)
    }
  }
}
