internal import CKernels

/// Which experts a token may use, and how its weights follow from the scores.
package struct RouterSettings: Sendable, Equatable {
  package enum GroupScore: Sendable { case topTwoSum, maximum }

  package var experts, selected: Int
  /// Groups of consecutive experts, of which a token uses the experts of `keptGroups`; equal: no limit.
  package var groups, keptGroups: Int
  package var groupScore: GroupScore
  /// Scores by softmax over the experts; else by sigmoid.
  package var softmax: Bool
  /// Whether the selected scores are divided by their sum.
  package var normalize: Bool
  package var scale: Float

  package init(
    experts: Int, selected: Int, groups: Int, keptGroups: Int, groupScore: GroupScore, softmax: Bool,
    normalize: Bool, scale: Float
  ) {
    precondition(experts <= 1024, "\(experts) experts: the router kernels hold at most 1024")
    (self.experts, self.selected, self.groups, self.keptGroups) = (experts, selected, groups, keptGroups)
    (self.groupScore, self.softmax, self.normalize, self.scale) = (groupScore, softmax, normalize, scale)
  }

  fileprivate var kernel: hadal_router_settings {
    hadal_router_settings(
      experts: Int32(experts), selected: Int32(selected), groups: Int32(groups),
      kept_groups: Int32(keptGroups),
      group_score_is_top2: groupScore == .topTwoSum, softmax: softmax, normalize: normalize, scale: scale)
  }
}

/// Which experts each token goes to, and with which weight.
package struct RouterSelection {
  /// `[T, E]`, float32.
  package let scores: Tensor
  /// `[T, K]`, int32: experts in descending order of biased score, ties to the lower index.
  package let indices: Tensor
  /// `[T, K]`, float32.
  package let weights: Tensor

  package init(scores: Tensor, indices: Tensor, weights: Tensor) {
    (self.scores, self.indices, self.weights) = (scores, indices, weights)
  }
}

/// Scores, selection and weights: DeepSeek-V3 equations 12 to 16 (and V2's variant).
/// `z = s + bias` decides who is selected; the weights come from s.
package func route(logits: Tensor, bias: Tensor, _ settings: RouterSettings) -> RouterSelection {
  let (tokens, device) = (logits.rows, logits.device)
  let indices = Tensor([tokens, settings.selected], .int32, on: device)
  let weights = Tensor([tokens, settings.selected], on: device)
  let (scores, index) = (logits.copied(), indices.elements(Int32.self).baseAddress!)
  let (s, w, b) = (scores.floats.baseAddress!, weights.floats.baseAddress!, bias.floats.baseAddress!)
  device.measured("route", bytes: 2 * scores.byteCount + indices.byteCount + weights.byteCount) {
    device.forEachRows(tokens, width: settings.experts * settings.selected) { range in
      var c = settings.kernel
      let (first, rows) = (range.lowerBound, range.count)
      let row = s + first * settings.experts
      device.kernels.pointee.router_scores(row, rows, &c)
      device.kernels.pointee.router_select(
        row, b, rows, &c, index + first * settings.selected, w + first * settings.selected)
    }
  }
  return RouterSelection(scores: scores, indices: indices, weights: weights)
}

/// dlogits `[T, E]` from dweights `[T, K]` and the slopes of the balance losses.
///
/// - Parameter balance: `[B, E]` float32, dL/ds' of each sequence, where s'_i = s_i / Σ_j s_j; sequences are equal,
///   consecutive runs of tokens. nil for none.
package func routeGradient(
  _ selection: RouterSelection, dWeights: Tensor, balance: Tensor?, _ settings: RouterSettings
) -> Tensor {
  let (tokens, device) = (selection.scores.rows, selection.scores.device)
  let dLogits = Tensor([tokens, settings.experts], on: device)
  let length = tokens / (balance?.rows ?? 1)
  let (experts, selected) = (settings.experts, settings.selected)
  let (s, d) = (selection.scores.floats.baseAddress!, dLogits.floats.baseAddress!)
  let (index, dw) = (selection.indices.integers, dWeights.floats.baseAddress!)
  let bytes = 2 * dLogits.byteCount + selection.indices.byteCount + dWeights.byteCount
  device.measured("route gradient", bytes: bytes) {
    device.forEachRows(tokens, width: experts) { range in
      var c = settings.kernel
      var first = range.lowerBound
      while first < range.upperBound {
        let sequence = first / length
        let count = min((sequence + 1) * length, range.upperBound) - first
        device.kernels.pointee.router_gradient(
          s + first * experts, index + first * selected, dw + first * selected,
          balance.map { UnsafePointer($0.floats.baseAddress! + sequence * experts) }, count, &c,
          d + first * experts)
        first += count
      }
    }
  }
  return dLogits
}

/// Sums over the tokens of one sequence, for the balance losses.
package struct RouterStatistics: Sendable {
  /// `Σ_t s'_{i,t}` of each expert.
  package var shares: [Double]
  /// How often each expert is among the K largest raw scores of a token (no bias, no groups).
  package var rawCounts: [Int64]
}

/// Statistics of each of `sequences` equal, consecutive runs of tokens.
package func routerStatistics(
  _ selection: RouterSelection, sequences: Int, _ settings: RouterSettings
) -> [RouterStatistics] {
  let (length, device) = (selection.scores.rows / sequences, selection.scores.device)
  let zero = RouterStatistics(
    shares: Array(repeating: 0, count: settings.experts),
    rawCounts: Array(repeating: 0, count: settings.experts))
  var all = Array(repeating: zero, count: sequences)
  let s = selection.scores.floats.baseAddress!
  device.measured("router statistics", bytes: selection.scores.byteCount) {
    all.withUnsafeMutableBufferPointer { buffer in
      let buffer = buffer
      device.workers.forEach(sequences) { i in
        var c = settings.kernel
        var statistics = zero
        device.kernels.pointee.router_statistics(
          s + i * length * settings.experts, length, &c, &statistics.shares, &statistics.rawCounts)
        buffer[i] = statistics
      }
    }
  }
  return all
}

extension RouterSelection {
  /// How many of a range of tokens chose each expert, and how many reached each of `devices` equal runs of experts.
  package func counts(tokens: Range<Int>, experts: Int, devices: Int) -> (experts: [Int], devices: [Int]) {
    var counts = [Int](repeating: 0, count: experts)
    var visits = [Int](repeating: 0, count: devices)
    let chosen = indices.integers + tokens.lowerBound * indices.columns
    indices.device.measured("count selected", bytes: tokens.count * indices.columns * 4) {
      indices.device.kernels.pointee.count_selected(
        chosen, tokens.count, indices.columns, experts / devices, &counts, &visits)
    }
    return (counts, visits)
  }

  /// Each token's experts in ascending order with their weights, `[T·K]`: the order in which programs compare.
  package func sortedByExpert() -> (indices: [Int32], weights: [Float]) {
    let selected = indices.columns
    let (index, weight) = (indices.elements(Int32.self), weights.floats)
    let order = (0..<indices.rows).flatMap { t in
      (t * selected..<(t + 1) * selected).sorted { index[$0] < index[$1] }
    }
    return (order.map { index[$0] }, order.map { weight[$0] })
  }
}
