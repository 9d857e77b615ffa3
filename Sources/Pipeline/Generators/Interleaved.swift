extension Schedule {
  /// 1F1B in which each rank has V stages, so that a micro-batch passes all ranks V times.
  /// Bubble (P - 1)(F + B) with F and B of such a smaller stage, where M is a multiple of P.
  ///
  /// Micro-batches go in groups of at least P, or of all: a group passes one slot after the other. Where M is
  /// no multiple of P the groups are as even as can be, larger ones first.
  ///
  /// Source: Megatron-LM, arXiv 2104.04473, section 2.2, for M a multiple of P; the other sizes are ours.
  package static func interleaved(
    ranks: Int, microbatches: Int, virtualStages: Int
  ) throws(ScheduleError) -> Schedule {
    let groups = groups(ranks: ranks, microbatches: microbatches)
    let slots = 0..<virtualStages
    let forwards = groups.flatMap { group in slots.flatMap { slot in cells(slot, group) } }
    let backwards = groups.flatMap { group in slots.reversed().flatMap { slot in cells(slot, group) } }
    let lanes = (0..<ranks).map { rank in
      // The last rank begins its backwards with the first group's first pass through the last slot.
      let first = (virtualStages - 1) * groups[0].count + 2 * (ranks - 1 - rank)
      let ahead = min(first, forwards.count)
      var lane = forwards.prefix(ahead).map(Action.forward)
      for (forward, backward) in zip(forwards.dropFirst(ahead), backwards) {
        lane += [.forward(forward), .backward(backward)]
      }
      return lane + backwards.suffix(ahead).map(Action.backward)
    }
    let placement = Placement.interleaved(ranks: ranks, virtualStages: virtualStages)
    return try Schedule(name: .interleaved, microbatches, placement, lanes)
  }

  private static func groups(ranks: Int, microbatches: Int) -> [Range<Int>] {
    let count = max(1, microbatches / ranks)
    let (size, larger) = microbatches.quotientAndRemainder(dividingBy: count)
    var start = 0
    return (0..<count).map { group in
      let end = start + size + (group < larger ? 1 : 0)
      defer { start = end }
      return start..<end
    }
  }

  private static func cells(_ slot: Int, _ microbatches: Range<Int>) -> [Cell] {
    microbatches.map { Cell(slot: slot, microbatch: $0) }
  }
}
