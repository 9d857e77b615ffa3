internal import Tensors

/// The losses that spread tokens over experts. All have the form `Σ_i c_i P_i` with `P_i = mean_t s'_{i,t}` and a
/// piecewise constant c, so a slope for each sequence and expert is all that backward needs.
///
/// Sources: DeepSeek-V3, arXiv:2412.19437, equations 17 to 20; DeepSeek-V2, arXiv:2405.04434, equations 23 to 31.
package struct BalanceLosses: Sendable {
  /// α of V3's sequence-wise loss: `f_i = E/(K T) Σ_t 1[s_i,t among the K largest raw scores]`.
  package var sequence: Float = 0
  /// α1, α2, α3 of V2's expert-, device- and communication-level losses, with the actual selection.
  package var expert: Float = 0
  package var device: Float = 0
  package var communication: Float = 0
  /// D: devices that share the experts of a layer, in equal runs of consecutive experts.
  package var devices = 1
  /// M: how many devices a token may reach.
  package var reachableDevices = 1
  /// Sequences in this micro-batch, and in the global batch (the losses are means over the latter).
  package var sequences = 1
  package var globalSequences = 1

  package init() {}

  /// nil when every factor is 0.
  func evaluate(
    _ selection: RouterSelection, _ settings: RouterSettings
  ) -> (loss: Double, slopes: Tensor)? {
    guard sequence != 0 || expert != 0 || device != 0 || communication != 0 else { return nil }
    let experts = settings.experts
    let length = selection.scores.rows / sequences
    precondition(length * sequences == selection.scores.rows, "\(sequences) sequences of unequal length")
    var slopes: [Float] = []
    var loss = 0.0
    for (b, statistics) in routerStatistics(selection, sequences: sequences, settings).enumerated() {
      let factors = factors(statistics, selection, settings, tokens: b * length..<(b + 1) * length)
      for i in 0..<experts {
        let slope = factors[i] / Double(length * globalSequences)
        loss += slope * statistics.shares[i]
        slopes.append(Float(slope))
      }
    }
    return (loss, Tensor([sequences, experts], slopes, on: selection.scores.device))
  }

  /// c_i of one sequence: the sum of the losses' factors on P_i.
  private func factors(
    _ statistics: RouterStatistics, _ selection: RouterSelection, _ settings: RouterSettings,
    tokens: Range<Int>
  ) -> [Double] {
    let (experts, selected) = (settings.experts, settings.selected)
    let unit = Double(experts) / Double(selected * tokens.count)
    var factors = statistics.rawCounts.map { Double(sequence) * unit * Double($0) }
    guard expert != 0 || device != 0 || communication != 0 else { return factors }
    let size = experts / devices
    let (counts, visits) = selection.counts(tokens: tokens, experts: experts, devices: devices)
    for i in 0..<experts {
      let group = i / size
      let mean = Double(counts[group * size..<(group + 1) * size].reduce(0, +)) * unit / Double(size)
      let visited = Double(devices * visits[group]) / Double(reachableDevices * tokens.count)
      factors[i] += Double(expert) * unit * Double(counts[i]) + Double(device) * mean
      factors[i] += Double(communication) * visited
    }
    return factors
  }
}
