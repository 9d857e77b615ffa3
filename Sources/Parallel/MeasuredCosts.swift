package import Pipeline

/// What the actions of a step took, by stage: what a simulation needs. Sums over ranks can be taken of ``sums``.
package struct MeasuredCosts: Sendable {
  private enum Kind: Int, CaseIterable { case forward, backward, inputGradient, weightGradient, overlapped }

  /// Seconds and numbers of actions, by stage and kind.
  package var sums: [Double]
  private let stages: Int

  /// - Parameter rank: whose lane it is.
  package init(_ record: LaneRecord, on rank: Int, in placement: Placement) {
    stages = placement.stages
    sums = Array(repeating: 0, count: 2 * stages * Kind.allCases.count)
    for event in record.events {
      let (kind, cell): (Kind, Cell) =
        switch event.action {
        case .forward(let cell): (.forward, cell)
        case .backward(let cell): (.backward, cell)
        case .inputGradient(let cell): (.inputGradient, cell)
        case .weightGradient(let cell): (.weightGradient, cell)
        case .overlapped(let ahead, _): (.overlapped, ahead)
        }
      let stage = placement.stage(at: Place(rank: rank, slot: cell.slot))
      // Two forwards at once: to a simulation, one after the other, of the same length.
      if let other = event.beside {
        add(event.cost / 2, .forward, stage)
        add(event.cost / 2, .forward, placement.stage(at: Place(rank: rank, slot: other.slot)))
        continue
      }
      if kind == .backward, !event.weights.isEmpty {
        add(event.cost, .inputGradient, stage)
        add(event.secondsOfWeights, .weightGradient, stage)
      } else {
        add(event.cost + event.secondsOfWeights, kind, stage)
      }
    }
  }

  private mutating func add(_ seconds: Double, _ kind: Kind, _ stage: Int) {
    let at = 2 * (stage * Kind.allCases.count + kind.rawValue)
    sums[at] += seconds
    sums[at + 1] += 1
  }

  private func value(_ kind: Kind, _ stage: Int) -> (sum: Double, count: Double) {
    let at = 2 * (stage * Kind.allCases.count + kind.rawValue)
    return (sums[at], sums[at + 1])
  }

  private func mean(_ kind: Kind, _ stage: Int) -> Double? {
    let (sum, count) = value(kind, stage)
    return count > 0 ? sum / count : nil
  }

  /// The means. A whole backward counts as input gradients with the weight gradients that were measured apart, or as
  /// one where there were none.
  package var costs: Costs {
    var (forward, input, weight, overlapped) = ([Double](), [Double](), [Double](), [Double]())
    var hasPairs = false
    for stage in 0..<stages {
      let w = mean(.weightGradient, stage) ?? 0
      let (whole, apart) = (value(.backward, stage), value(.inputGradient, stage))
      let count = whole.count + apart.count
      let i = count > 0 ? max(0, (whole.sum - w * whole.count + apart.sum) / count) : 0
      let f = mean(.forward, stage) ?? 0
      hasPairs = hasPairs || mean(.overlapped, stage) != nil
      forward.append(f)
      input.append(i)
      weight.append(w)
      overlapped.append(mean(.overlapped, stage) ?? f + i + w)
    }
    return Costs(
      forward: PerStage(forward), inputGradient: PerStage(input), weightGradient: PerStage(weight),
      overlapped: hasPairs ? PerStage(overlapped) : nil)
  }
}
