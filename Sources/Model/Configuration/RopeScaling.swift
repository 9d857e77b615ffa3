internal import Foundation

/// YaRN: how rotary frequencies are stretched for a context that is longer than the one of pre-training.
///
/// Source: Peng et al., YaRN (arXiv 2309.00071); the key names are HF's.
package struct RopeScaling: Sendable, Hashable {
  /// s, new context over old.
  package var factor = 40.0
  /// The context of pre-training, in tokens.
  package var originalMaxPositionEmbeddings = 4096
  /// Frequencies that turn more often than this within the old context stay as they are.
  package var betaFast = 32.0
  /// Frequencies that turn less often than this are divided by `factor`.
  package var betaSlow = 1.0
  package var mscale: Double?
  /// The temperature of the softmax; nil or 0 for none.
  package var mscaleAllDim: Double?
  /// Scales cosine and sine; nil to derive it from the two above.
  package var attentionFactor: Double?
  /// Whether the ends of the ramp are whole dimensions.
  package var truncate = true

  package init() {}

  /// `0.1 · mscale · ln s + 1`.
  private func temperature(_ mscale: Double) -> Double { factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1 }

  /// m of the softmax scale `qkHeadDim^-½ · m²`.
  var softmaxTemperature: Double {
    guard let mscaleAllDim, mscaleAllDim != 0 else { return 1 }
    return temperature(mscaleAllDim)
  }

  /// What cosine and sine are multiplied by; 1 where both `mscale` are equal, as in DeepSeek-V3.
  var rotaryFactor: Double {
    if let attentionFactor { return attentionFactor }
    guard let mscale, let mscaleAllDim, mscale != 0, mscaleAllDim != 0 else { return temperature(1) }
    return temperature(mscale) / temperature(mscaleAllDim)
  }

  /// Stretches frequencies that are given by their periods: `1/period_j · (1 - r_j) + 1/(s · period_j) · r_j` with a
  /// ramp `r` from 0 to 1.
  func stretch(periods: [Float], theta: Double) -> [Float] {
    let dimensions = Double(2 * periods.count)
    func dimension(turning turns: Double) -> Double {
      dimensions * log(Double(originalMaxPositionEmbeddings) / (2 * .pi * turns)) / (2 * log(theta))
    }
    var low = dimension(turning: betaFast)
    var high = dimension(turning: betaSlow)
    if truncate { (low, high) = (low.rounded(.down), high.rounded(.up)) }
    low = max(low, 0)
    high = min(high, dimensions - 1)
    // A ramp of no width would divide 0 by 0; HF widens it by the same amount.
    if low == high { high += 0.001 }
    return periods.enumerated().map { index, period in
      let ramp = min(max((Float(index) - Float(low)) / Float(high - low), 0), 1)
      let kept = 1 - ramp
      return 1 / (Float(factor) * period) * (1 - kept) + 1 / period * kept
    }
  }
}

extension ModelConfiguration {
  /// What scores are multiplied by before the softmax: `qkHeadDim^-½ · m²`, where m is 1 without YaRN.
  ///
  /// YaRN is on if and only if `ropeScaling` is set. Source: the released inference code; for
  /// DeepSeek-V3 0.0721688 in pre-training, 0.1352338 with YaRN.
  package var softmaxScale: Double {
    let temperature = ropeScaling?.softmaxTemperature ?? 1
    return pow(Double(qkHeadDim), -0.5) * temperature * temperature
  }

  /// Radians per position for each of the `qkRopeHeadDim / 2` rotary pairs: `θ^(-2j/d)`, stretched by YaRN.
  ///
  /// Rounded to float32 at each step, as HF and the released inference code do: the same bits as theirs.
  package func ropeInverseFrequencies() -> [Double] {
    let periods = (0..<qkRopeHeadDim / 2).map { pair in
      Float(pow(ropeTheta, Double(Float(2 * pair) / Float(qkRopeHeadDim))))
    }
    let frequencies = ropeScaling?.stretch(periods: periods, theta: ropeTheta) ?? periods.map { 1 / $0 }
    return frequencies.map(Double.init)
  }

  /// What cosine and sine are multiplied by.
  package var attentionFactor: Double { ropeScaling?.rotaryFactor ?? 1 }
}
