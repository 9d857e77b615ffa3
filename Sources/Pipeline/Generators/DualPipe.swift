extension Schedule {
  /// Two streams of micro-batches, each a slot, cross the same ranks in opposite directions; a forward of one
  /// overlaps a backward of the other. With FB an overlapped pair, bubble (P/2 - 1)(FB + B - 3W) at
  /// F = I = W; P + 1 activations live on every rank; each stage lies on two ranks.
  ///
  /// - Throws: ``ScheduleError/unfit(schedule:reason:)`` unless P is even, and M even and at least 2P.
  ///
  /// Source: DeepSeek-V3, arXiv 2412.19437, section 3.2.1; the order is that of the published library.
  package static func dualPipe(ranks: Int, microbatches: Int) throws(ScheduleError) -> Schedule {
    let name = ScheduleName.dualPipe
    guard ranks >= 2, ranks.isMultiple(of: 2) else {
      throw .unfit(
        schedule: name.rawValue,
        reason: "\(ranks) ranks: it needs an even number; dualpipev, 1f1b and zb1p take any")
    }
    guard microbatches >= 2 * ranks, microbatches.isMultiple(of: 2) else {
      throw tooFew(name, ranks, microbatches, "an even number, at least \(2 * ranks),")
    }
    let lanes = (0..<ranks).map { rank in
      let isFirstHalf = rank < ranks / 2
      let edge = isFirstHalf ? rank : ranks - 1 - rank
      return crossing(
        near: isFirstHalf ? 0 : 1, edge: edge, center: ranks / 2 - 1 - edge, microbatches: microbatches / 2)
    }
    return try Schedule(name: name, microbatches, .bidirectional(ranks: ranks), lanes)
  }

  /// DualPipe cut in half: one stream goes down through slot 0 of all ranks and comes back through slot 1, so
  /// 2P stages lie on P ranks, none twice. Bubble (P - 1)(FB + B - 3W) at F = I = W, 2P + 1 activations of
  /// stages half as large.
  ///
  /// - Throws: ``ScheduleError/unfit(schedule:reason:)`` unless M is at least 2P.
  ///
  /// Source: the published library, after the V schedule of arXiv 2405.15362.
  package static func dualPipeV(ranks: Int, microbatches: Int) throws(ScheduleError) -> Schedule {
    let name = ScheduleName.dualPipeV
    guard microbatches >= 2 * ranks else {
      throw tooFew(name, ranks, microbatches, "at least \(2 * ranks)")
    }
    let lanes = (0..<ranks).map {
      crossing(near: 0, edge: $0, center: ranks - 1 - $0, microbatches: microbatches)
    }
    return try Schedule(name: name, microbatches, .vee(ranks: ranks), lanes)
  }

  private static func tooFew(
    _ name: ScheduleName, _ ranks: Int, _ microbatches: Int, _ needed: String
  ) -> ScheduleError {
    .unfit(
      schedule: name.rawValue,
      reason: "\(microbatches) micro-batches on \(ranks) ranks: it needs \(needed) of them; "
        + "1f1b and zb1p take any number")
  }

  /// The lane of a rank on which two streams cross.
  ///
  /// - Parameters:
  ///   - near: the slot of the stream that reaches this rank before it has crossed the center.
  ///   - edge: ranks from here to where that stream enters.
  ///   - center: ranks from here to the center, where the streams meet.
  ///   - microbatches: of each stream.
  private static func crossing(near: Int, edge: Int, center: Int, microbatches: Int) -> [Action] {
    let far = 1 - near
    var lane = LaneWriter(slots: 2)
    // Fill: until the far stream arrives, and then both.
    lane.times(2 * center) { $0.forward(near) }
    lane.times(edge + 1) {
      $0.forward(near)
      $0.forward(far)
    }
    // The far stream's first gradients; their weights fill the wait for its next forward.
    lane.times(center) {
      $0.inputGradient(far)
      $0.weightGradient()
      $0.forward(far)
    }
    // Full: pairs in turn. The center takes the first one apart, so that the forward's result leaves sooner.
    let pairs = microbatches - 2 * center - edge - 1
    let apart = center == 0 ? 1 : 0
    lane.times(apart) {
      $0.forward(near)
      $0.backward(far)
      $0.overlapped(forward: far, backward: near)
    }
    lane.times(pairs - apart) {
      $0.overlapped(forward: near, backward: far)
      $0.overlapped(forward: far, backward: near)
    }
    lane.times(center) {
      $0.backward(far)
      $0.overlapped(forward: far, backward: near)
    }
    // Drain: from the middle of this on, weights are put off so that the next rank gets its gradients sooner.
    for place in 0..<2 * (edge + 1) {
      let slot = place.isMultiple(of: 2) ? far : near
      if place <= edge { lane.backward(slot) } else { lane.inputGradient(slot) }
    }
    lane.times(center) {
      $0.weightGradient()
      $0.inputGradient(near)
    }
    lane.times(edge + 1) { $0.weightGradient() }
    return lane.actions
  }
}
