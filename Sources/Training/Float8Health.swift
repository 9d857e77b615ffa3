internal import Autograd
internal import Model
internal import Tensors

/// The limits of `precision.fp8` within which a matrix stays in FP8.
package struct Float8Limits: Sendable, Hashable {
  package var flushed: Double
  package var shadow: Double

  package init(flushed: Double, shadow: Double) { (self.flushed, self.shadow) = (flushed, shadow) }

  /// What of a record passes them. An error that is no number does.
  package func passed(by record: Float8Metrics) -> [Float8Metrics.Passed] {
    var passed = record.operands.filter { $0.flushed > flushed }.map {
      Float8Metrics.Passed(
        layer: $0.layer, what: "\($0.matrix) \($0.role) \($0.tiles)", key: "flushed_limit", limit: flushed,
        value: $0.flushed)
    }
    if let check = record.shadow, let error = check.error, !(error <= shadow) {
      passed.append(
        Float8Metrics.Passed(
          layer: check.layer, what: "\(check.matrix) \(check.gemm)", key: "shadow_limit", limit: shadow,
          value: error))
    }
    return passed
  }
}

extension Trainer {
  /// What watches the next step; nil where none of the run's records is due.
  func nextMonitor() -> Float8Monitor? {
    let step = state.step + 1
    guard let every = configuration.precision.healthEvery, step.isMultiple(of: every) else { return nil }
    return Float8Monitor(sample: model.shadowSample(turn: step / every - 1))
  }

  /// The record of a step that is counted. Layers that pass a limit leave FP8, if the run is to do so; a step that was
  /// skipped decides nothing: what is not finite has a policy of its own.
  func watched(_ monitor: Float8Monitor, isSkipped: Bool) -> Float8Metrics {
    let section = configuration.precision.fp8
    let seen = Float8Metrics(step: state.step, monitor, of: model)
    var record = ranks?.ofPipeline(seen) ?? seen
    guard section.fallBack != .off, !isSkipped else { return record }
    let limits = Float8Limits(flushed: section.flushedLimit, shadow: section.shadowLimit)
    // What any rank has seen is true for all: they compute with each other's experts, and hold each other's copies.
    let own = limits.passed(by: seen)
    record.passed = ranks?.union(own) ?? own
    let layers = Set(record.passed.map(\.layer))
    guard section.fallBack == .fallBack, !layers.isEmpty else { return record }
    record.fallenBack = layers.sorted()
    state.fallenBackLayers.formUnion(layers)
    model.setFallenBack(layers: state.fallenBackLayers)
    return record
  }

  /// Brings the model in line with a state that was read.
  /// - Returns: Layers that had fallen back, and are in FP8 again as this run lets none.
  @discardableResult
  func adoptFallenBackLayers() -> [Int] {
    let dropped = configuration.precision.fallsBack ? [] : state.fallenBackLayers
    state.fallenBackLayers.subtract(dropped)
    model.setFallenBack(layers: state.fallenBackLayers)
    return dropped.intersection(model.float8Layers.map(\.number)).sorted()
  }
}

extension Float8Metrics {
  /// What a monitor has seen of a model.
  init(step: Int, _ monitor: Float8Monitor, of model: DeepSeek) {
    var operands: [Operand] = []
    var shadow: Shadow?
    for layer in model.float8Layers {
      for matrix in layer.matrices {
        operands += Self.operands(of: matrix, layer: layer.number, monitor)
        guard let sample = monitor.sample, sample.matrix == matrix.name else { continue }
        shadow = Shadow(
          layer: layer.number, matrix: matrix.name, gemm: sample.gemm.rawValue, error: monitor.shadowError)
      }
    }
    self.init(step: step, operands: operands, shadow: shadow)
  }

  private static func operands(
    of matrix: Parameter, layer: Int, _ monitor: Float8Monitor
  ) -> [Operand] {
    let tilings: [QuantizedTensor.Tiling] = [.rows, .columns, .blocks]
    return Float8Monitor.Role.allCases.flatMap { role in
      tilings.compactMap { tiling in
        let operand = Float8Monitor.Operand(matrix: matrix.name, role: role, tiling: tiling)
        return monitor.statistics[operand].map { Operand(operand, layer: layer, $0) }
      }
    }
  }
}

extension Float8Metrics.Operand {
  fileprivate init(_ operand: Float8Monitor.Operand, layer: Int, _ counters: QuantizationStatistics) {
    let share = { (count: Int) in count == 0 ? 0 : Double(count) / Double(counters.elements) }
    self.init(
      layer: layer, matrix: operand.matrix, role: operand.role.rawValue, tiles: operand.tiling.rawValue,
      elements: counters.elements, amax: counters.amax, saturated: share(counters.saturated),
      flushed: share(counters.flushed), nonFinite: share(counters.nonFinite),
      scales: counters.elements == 0 ? nil : counters.leastScale...counters.greatestScale)
  }
}
