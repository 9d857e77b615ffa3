// Schedules in which a rank has one stage, and micro-batches go one way.

extension Schedule {
  /// All forwards, then all backwards. Bubble (P - 1)(F + B); M activations live on every rank.
  ///
  /// Source: GPipe, arXiv 1811.06965; here backwards begin with micro-batch 0, which costs the same.
  package static func gpipe(ranks: Int, microbatches: Int) throws(ScheduleError) -> Schedule {
    let lanes = lanes(ranks) { _, lane in
      lane.times(microbatches) { $0.forward() }
      lane.times(microbatches) { $0.backward() }
    }
    return try Schedule(name: .gpipe, microbatches, .plain(ranks: ranks), lanes)
  }

  /// One forward, one backward. Bubble (P - 1)(F + B); at most P - r activations live on rank r.
  ///
  /// Source: PipeDream-flush, arXiv 2006.09503.
  package static func oneForwardOneBackward(
    ranks: Int, microbatches: Int
  ) throws(ScheduleError) -> Schedule {
    let lanes = lanes(ranks) { rank, lane in
      let ahead = min(ranks - 1 - rank, microbatches)
      lane.times(ahead) { $0.forward() }
      lane.times(microbatches - ahead) {
        $0.forward()
        $0.backward()
      }
      lane.times(ahead) { $0.backward() }
    }
    return try Schedule(name: .oneForwardOneBackward, microbatches, .plain(ranks: ranks), lanes)
  }

  /// 1F1B with weight gradients put off: rank r keeps up to r of them for the time when it would be idle at
  /// the end. Bubble (P - 1)(F + B - 2W); at most P activations live on every rank, as on rank 0 in 1F1B.
  ///
  /// Source: ZB-H1 of Zero Bubble Pipeline Parallelism, arXiv 2401.10241, section 2.3.
  package static func zeroBubble(ranks: Int, microbatches: Int) throws(ScheduleError) -> Schedule {
    let lanes = lanes(ranks) { rank, lane in
      let ahead = min(ranks - 1 - rank, microbatches)
      lane.times(ahead) { $0.forward() }
      lane.times(microbatches - ahead) {
        $0.forward()
        $0.inputGradient()
        if $0.debt > rank { $0.weightGradient() }
      }
      lane.times(ahead) {
        $0.inputGradient()
        $0.weightGradient()
      }
      lane.times(lane.debt) { $0.weightGradient() }
    }
    return try Schedule(name: .zeroBubble, microbatches, .plain(ranks: ranks), lanes)
  }

  private static func lanes(_ ranks: Int, _ write: (Int, inout LaneWriter) -> Void) -> [[Action]] {
    (0..<ranks).map { rank in
      var lane = LaneWriter(slots: 1)
      write(rank, &lane)
      return lane.actions
    }
  }
}

extension Schedule {
  init(
    name: ScheduleName, _ microbatches: Int, _ placement: Placement, _ lanes: [[Action]]
  ) throws(ScheduleError) {
    try self.init(name: name.rawValue, microbatches: microbatches, placement: placement, lanes: lanes)
  }
}
