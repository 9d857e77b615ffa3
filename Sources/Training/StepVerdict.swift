/// What is done about a step, and why.
struct StepVerdict {
  var action: BadSteps.Action
  /// nil where the loss does not stand out, or is no number.
  var spike: LossSpike?
}

extension Trainer {
  /// Judges a step, and counts it. Ranks have the same sums, and so come to the same.
  func verdict(_ step: SummedStep) -> StepVerdict {
    let (section, number) = (configuration.training, state.step + 1)
    guard step.isFinite else {
      let action = state.nonFinite.fail(
        step: number, policy: section.nonFinite, limit: section.nonFiniteLimit)
      return StepVerdict(action: action)
    }
    let spike = spike(step)
    if spike != nil, let policy = section.lossSpike.policy {
      let action = state.lossSpikes.fail(step: number, policy: policy, limit: section.lossSpike.limit)
      return StepVerdict(action: action, spike: spike)
    }
    state.nonFinite.pass(step: number)
    state.lossSpikes.pass(step: number)
    if spike != nil { state.lossSpikes.total += 1 }
    if section.lossSpike.action == .off {
      state.lossLevel = LossLevel()
    } else {
      state.lossLevel.add(step.sums.mainLoss, window: section.lossSpike.window)
    }
    return StepVerdict(action: .update, spike: spike)
  }

  private func spike(_ step: SummedStep) -> LossSpike? {
    let section = configuration.training.lossSpike
    guard section.action != .off else { return nil }
    return state.lossLevel.spike(
      step: state.step + 1, loss: step.sums.mainLoss, window: section.window, deviations: section.deviations)
  }

  /// What is wrong with a step. Ranks look for it together.
  func words(_ verdict: StepVerdict, _ step: SummedStep) -> String {
    verdict.spike.map(\.description) ?? cause(step).description
  }

  /// Why a step ends the run.
  func failure(_ verdict: StepVerdict, _ step: SummedStep) -> TrainingError {
    let section = configuration.training
    if let spike = verdict.spike {
      return .lossSpike(spike, tolerated: section.lossSpike.action == .stop ? 0 : state.lossSpikes.inARow)
    }
    return .nonFinite(cause(step), tolerated: section.nonFinite == .stop ? 0 : state.nonFinite.inARow)
  }
}
