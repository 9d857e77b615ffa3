/// Numbers of mean 0 and variance 1 (sums of three uniform ones) times `scale`, always the same for a name.
/// The generator is Knuth's linear congruence: leaves are made by the thousand in debug builds.
func randomNumbers(_ count: Int, _ name: String, scale: Float = 1) -> [Float] {
  var state = name.utf8.reduce(UInt64(14)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  func uniform() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(state >> 40) / 8_388_608 - 1
  }
  return (0..<count).map { _ in (uniform() + uniform() + uniform()) * scale }
}

/// Where `found` first differs from `expected` by more than the tolerance (a NaN always does), with both
/// values; nil when nowhere. `indices` are the places of the expected values in `found`; all places when nil.
func firstDifference(
  _ found: [Float], _ expected: [Double], within tolerance: Double, at indices: [Int]? = nil
) -> String? {
  let places = indices ?? Array(found.indices)
  guard places.count == expected.count else { return "\(found.count) values, not \(expected.count)" }
  for (i, value) in zip(places, expected) where !(abs(Double(found[i]) - value) <= tolerance) {
    return "[\(i)] is \(found[i]), not \(value) ± \(tolerance)"
  }
  return nil
}

/// Where two arrays first differ in a bit; nil when nowhere.
func firstDifferentBits(_ found: [Float], _ expected: [Float]) -> String? {
  guard found.count == expected.count else { return "\(found.count) values, not \(expected.count)" }
  for (i, (a, b)) in zip(found, expected).enumerated() where a.bitPattern != b.bitPattern {
    return "[\(i)] is \(a), not \(b)"
  }
  return nil
}

/// What a value that went through `roundings` float32 roundings, one after the other or as terms of a sum,
/// may be off by: a random walk of √n steps of half a unit (2⁻²⁴) of the largest value, times 8 (λ of Higham
/// and Mary's probabilistic bound, SIAM J. Sci. Comput. 41(5), 2019, with room for some cancellation).
func float32Tolerance(roundings: Int, _ expected: [Double]) -> Double {
  8 * Double(roundings).squareRoot() * 0x1p-24 * (expected.map(abs).max() ?? 0)
}
