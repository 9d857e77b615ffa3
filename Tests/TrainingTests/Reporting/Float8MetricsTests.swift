import Testing

@testable import Training

/// The record of FP8, its limits, and how both are told.
struct Float8MetricsTests {
  private static func operand(
    _ matrix: String, role: String, tiles: String, flushed: Double, scales: ClosedRange<Float>?
  ) -> Float8Metrics.Operand {
    Float8Metrics.Operand(
      layer: 3, matrix: matrix, role: role, tiles: tiles, elements: scales == nil ? 0 : 8, amax: 1.5,
      saturated: 0, flushed: flushed, nonFinite: 0.125, scales: scales)
  }

  private static let sample = Float8Metrics(
    step: 7,
    operands: [
      operand("a", role: "activation", tiles: "rows", flushed: 0.25, scales: 0.5...2),
      operand("b", role: "activation", tiles: "columns", flushed: 0.5, scales: 0.25...1),
      operand("b", role: "gradient", tiles: "rows", flushed: 0, scales: nil),
    ], shadow: Float8Metrics.Shadow(layer: 4, matrix: "c", gemm: "wgrad", error: 0.75))

  @Test func theLineOfARecord() {
    var record = Self.sample
    (record.passed, record.fallenBack) = (Float8Limits(flushed: 0.25, shadow: 0.75).passed(by: record), [3])
    #expect(
      JSONLine.text(of: record) == """
        {"kind":"fp8","step":7,"shadow_matrix":"c","shadow_gemm":"wgrad","shadow_error":0.75,\
        "activation_amax":1.5,"activation_saturated":0.0,"activation_flushed":0.5,\
        "activation_non_finite":0.125,"activation_least_scale":0.25,"activation_greatest_scale":2.0,\
        "passed":[{"what":"b activation columns","limit":"flushed_limit","value":0.5}],"fallen_back":[3],\
        "operands":[\
        {"matrix":"a","role":"activation","tiles":"rows","elements":8,"amax":1.5,"saturated":0.0,\
        "flushed":0.25,"non_finite":0.125,"least_scale":0.5,"greatest_scale":2.0},\
        {"matrix":"b","role":"activation","tiles":"columns","elements":8,"amax":1.5,"saturated":0.0,\
        "flushed":0.5,"non_finite":0.125,"least_scale":0.25,"greatest_scale":1.0},\
        {"matrix":"b","role":"gradient","tiles":"rows","elements":0}]}
        """)
  }

  /// Layers in their order, counts added up, extremes of all, and the error that is worst.
  @Test func recordsOfSeveralRanks() {
    var (other, last) = (Self.sample, Self.sample)
    other.operands.removeFirst()
    other.operands[0].layer = 2
    (other.operands[0].matrix, other.operands[0].scales) = ("d", nil)
    (other.operands[1].elements, other.operands[1].amax, other.operands[1].scales) = (24, 3, 0.125...1)
    (other.operands[1].flushed, other.operands[1].nonFinite) = (0.25, 0)
    other.shadow?.error = nil
    last.operands = [Self.operand("a", role: "activation", tiles: "rows", flushed: 1, scales: 1...4)]
    last.shadow?.error = .nan
    let all = Float8Metrics(step: 7, texts: [Self.sample, other, last].map(\.text))
    #expect(all.operands.map(\.matrix) == ["d", "a", "b", "b"])
    #expect(all.operands.map(\.elements) == [8, 16, 8, 24])
    #expect(all.operands.map(\.flushed) == [0.5, 0.625, 0.5, 0.25])
    #expect(all.operands.map(\.nonFinite) == [0.125, 0.125, 0.125, 0])
    #expect(all.operands.map(\.scales) == [nil, 0.5...4, 0.25...1, 0.125...1])
    #expect(all.operands.map(\.amax) == [1.5, 1.5, 1.5, 3])
    #expect(all.shadow?.error?.isNaN == true)
    #expect(Float8Metrics(step: 7, texts: [other, Self.sample].map(\.text)).shadow?.error == 0.75)
    #expect(Float8Metrics(step: 7, texts: [Self.sample.text]) == Self.sample)
  }

  /// Extremes, not a tag for every operand.
  @Test func tagsOfARecord() {
    let measures = ["amax", "saturated", "flushed", "non_finite", "least_scale", "greatest_scale"]
    #expect(
      Self.sample.scalars.map(\.tag) == ["fp8/shadow_error"] + measures.map { "fp8/activation_\($0)" })
  }

  @Test func limitsAreToBePassed() {
    let passed = { (flushed: Double, shadow: Double, error: Double?) in
      var record = Self.sample
      record.shadow?.error = error
      return Float8Limits(flushed: flushed, shadow: shadow).passed(by: record).map(\.layer)
    }
    #expect(passed(0.5, 0.75, 0.75) == [])
    #expect(passed(0.49, 0.75, 0.75) == [3])
    #expect(passed(0.1, 0.74, 0.75) == [3, 3, 4])
    #expect(passed(0.5, 0.75, .nan) == [4] && passed(0.5, 0.75, .infinity) == [4])
    #expect(passed(0.5, 0, nil) == [])
  }

  /// Between ranks nothing is lost, of numbers that are none either.
  @Test func whatPassedTravelsAsText() {
    for value in [0.1, 1e-30, .infinity, .nan] {
      let own = Float8Metrics.Passed(
        layer: 12, what: "model.layers.12.mlp gate up rows", key: "flushed_limit", limit: 0.3, value: value)
      let other = Float8Metrics.Passed(line: own.line[...], rank: 5)
      #expect(other.layer == 12 && other.what == own.what && other.key == own.key && other.limit == own.limit)
      #expect(other.rank == 5 && (other.value == value || (other.value.isNaN && value.isNaN)))
    }
  }

  @Test func aWarningNamesTheRank() {
    var record = Self.sample
    record.passed = Float8Limits(flushed: 0.4, shadow: 1).passed(by: record)
    record.passed[0].rank = 3
    #expect(record.warning == "step 7: FP8: b activation columns on rank 3 is at 0.5, flushed_limit is 0.4")
    #expect(JSONLine.text(of: record).contains("\"value\":0.5,\"rank\":3}"))
  }

  @Test func aWarningNamesTheFirst() {
    var record = Self.sample
    #expect(record.warning == nil)
    record.passed = Float8Limits(flushed: 0.1, shadow: 0.125).passed(by: record)
    let text = "step 7: FP8: a activation rows is at 0.25, flushed_limit is 0.1, and 2 more in metrics.jsonl"
    #expect(record.warning == text)
    record.fallenBack = [3]
    #expect(record.warning == text + "; layer 3 is multiplied in bfloat16 from step 8 on")
    record.fallenBack = [3, 4]
    #expect(record.warning == text + "; layers 3, 4 are multiplied in bfloat16 from step 8 on")
  }
}
