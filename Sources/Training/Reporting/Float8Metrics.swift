internal import Autograd

/// What quantizing did to the operands of the FP8 matrices in one step, and how far one product was from that of the
/// numbers.
package struct Float8Metrics: MetricsRecord, Hashable {
  package static let kind = "fp8"
  package static let group = "fp8"

  package var step: Int
  /// By layer, in the order of the model.
  package var operands: [Operand]
  /// The product that was done in float32 too; nil where no layer is in FP8 any more.
  package var shadow: Shadow?
  /// What passed its limit.
  package var passed: [Passed] = []
  /// Layers that leave FP8 with this step.
  package var fallenBack: [Int] = []

  /// One operand of a matrix' products, over all micro-batches.
  package struct Operand: Hashable, Codable, Sendable {
    package var layer: Int
    package var matrix: String
    /// `activation`, `weight` or `gradient`.
    package var role: String
    /// `rows`, `columns` or `blocks`.
    package var tiles: String
    package var elements: Int
    /// The largest finite magnitude.
    package var amax: Float
    /// Shares of the elements: beyond the largest code, not zero and become zero, NaN or infinite.
    package var saturated, flushed, nonFinite: Double
    /// nil where there was no element.
    package var scales: ClosedRange<Float>?
  }

  package struct Shadow: Hashable, Codable, Sendable {
    package var layer: Int
    package var matrix: String
    package var gemm: String
    /// `‖y_codes − y‖ / ‖y‖`; nil where no micro-batch had a row for it.
    package var error: Double?
  }

  package struct Passed: Hashable, Sendable {
    package var layer: Int
    /// For a person: matrix and operand, or matrix and product.
    package var what: String
    /// The key of the limit, and what it is.
    package var key: String
    package var limit: Double
    package var value: Double
    /// Who has seen it; nil where there is one rank.
    package var rank: Int?
  }

  package init(step: Int, operands: [Operand], shadow: Shadow?) {
    (self.step, self.operands, self.shadow) = (step, operands, shadow)
  }

  package var fields: [MetricField] {
    var fields: [MetricField] = []
    if let shadow {
      fields.append(MetricField("shadow_matrix", .text(shadow.matrix)))
      fields.append(MetricField("shadow_gemm", .text(shadow.gemm)))
      if let error = shadow.error { fields.append(MetricField("shadow_error", .number(error))) }
    }
    for role in Float8Monitor.Role.allCases { fields += worst(role.rawValue) }
    if !passed.isEmpty { fields.append(MetricField("passed", .rows(passed.map(\.fields)))) }
    if !fallenBack.isEmpty { fields.append(MetricField("fallen_back", .indices(fallenBack))) }
    return fields + [MetricField("operands", .rows(operands.map(\.fields)))]
  }

  /// The extremes over all operands of a role.
  private func worst(_ role: String) -> [MetricField] {
    let all = operands.filter { $0.role == role && $0.elements > 0 }
    let (least, greatest) = (all.compactMap(\.scales?.lowerBound), all.compactMap(\.scales?.upperBound))
    guard let least = least.min(), let greatest = greatest.max() else { return [] }
    let largest = { (values: [Double]) in values.max() ?? 0 }
    return [
      MetricField("\(role)_amax", .single(all.map(\.amax).max() ?? 0)),
      MetricField("\(role)_saturated", .number(largest(all.map(\.saturated)))),
      MetricField("\(role)_flushed", .number(largest(all.map(\.flushed)))),
      MetricField("\(role)_non_finite", .number(largest(all.map(\.nonFinite)))),
      MetricField("\(role)_least_scale", .single(least)),
      MetricField("\(role)_greatest_scale", .single(greatest)),
    ]
  }
}

extension Float8Metrics.Operand {
  fileprivate var fields: [MetricField] {
    var fields = [
      MetricField("matrix", .text(matrix)), MetricField("role", .text(role)),
      MetricField("tiles", .text(tiles)), MetricField("elements", .integer(elements)),
    ]
    guard let scales else { return fields }
    fields += [
      MetricField("amax", .single(amax)), MetricField("saturated", .number(saturated)),
      MetricField("flushed", .number(flushed)), MetricField("non_finite", .number(nonFinite)),
      MetricField("least_scale", .single(scales.lowerBound)),
      MetricField("greatest_scale", .single(scales.upperBound)),
    ]
    return fields
  }
}

extension Float8Metrics.Passed {
  fileprivate var fields: [MetricField] {
    [
      MetricField("what", .text(what)), MetricField("limit", .text(key)),
      MetricField("value", .number(value)),
    ] + (rank.map { [MetricField("rank", .integer($0))] } ?? [])
  }

  /// As it travels between ranks: numbers with all their digits, and what is for a person at the end.
  var line: String { "\(layer) \(key) \(limit) \(value) \(what)" }

  /// - Parameter line: of the rank that has seen it.
  init(line: Substring, rank: Int) {
    let words = line.split(separator: " ", maxSplits: 4)
    guard words.count == 5, let layer = Int(words[0]), let limit = Double(words[2]),
      let value = Double(words[3])
    else { preconditionFailure("rank \(rank) says '\(line)'") }
    self.init(
      layer: layer, what: String(words[4]), key: String(words[1]), limit: limit, value: value, rank: rank)
  }
}

extension Float8Metrics {
  /// What passed a limit, for a person; nil for nothing.
  package var warning: String? {
    guard let first = passed.first else { return nil }
    let more = passed.count > 1 ? ", and \(passed.count - 1) more in metrics.jsonl" : ""
    let text =
      "step \(step): FP8: \(first.what)\(first.rank.map { " on rank \($0)" } ?? "") is at \(ProgressText.digits(first.value)), "
      + "\(first.key) is \(ProgressText.digits(first.limit))\(more)"
    guard let one = fallenBack.first else { return text }
    let layers =
      fallenBack.count == 1
      ? "layer \(one) is" : "layers \(fallenBack.map(String.init).joined(separator: ", ")) are"
    return "\(text); \(layers) multiplied in bfloat16 from step \(step + 1) on"
  }
}
