internal import Checkpoint

/// When a run is saved, and what becomes of it. Every rank does the same at the same step.
extension Trainer {
  /// Saves as `checkpoint` says: at once, or by beginning to.
  func save(_ recorder: RunRecorder?) throws(CheckpointError) {
    guard configuration.checkpoint.asynchronous else { return try goingOn(recorder, saveNow) }
    try pollSave(recorder)
    if let saving {
      guard saving.isDurable || configuration.checkpoint.whenBusy == .wait else {
        recorder?.note(
          "step-\(state.step) is not saved: step-\(saving.step) is still being written "
            + "(checkpoint.when_busy: skip)")
        return
      }
      try finishSave(recorder)
    }
    try goingOn(recorder, requestSave)
  }

  /// Saves, and returns when the checkpoint is on the disk.
  func saveNow(_ recorder: RunRecorder?) throws(CheckpointError) {
    try finishSave(recorder)
    settle()
    let checkpoint = runCheckpoint
    let ranked = try checkpoint.begin(state, configuration: configuration.yaml(), to: store)
    saving = BackgroundSave(ranked, isHurried: true, checkpoint.elements)
    saving?.patience = diskPatience
    try followSave(isPatient: true, recorder)
  }

  /// Copies the state, and lets a thread write the copy.
  private func requestSave(_ recorder: RunRecorder?) throws(CheckpointError) {
    settle()
    let checkpoint = runCheckpoint
    let ranked = try checkpoint.begin(state, configuration: configuration.yaml(), to: store)
    let bytes = ranked.save.plan.byteCounts[ranked.save.rank]
    let copy = snapshot.flatMap { $0.byteCount == bytes ? $0 : nil } ?? StateSnapshot(byteCount: bytes)
    try copy.fill(ranked.save.plan.slices[ranked.save.rank], checkpoint.elements)
    snapshot = copy
    let saving = BackgroundSave(ranked, isHurried: false, copy.write)
    saving.patience = diskPatience
    self.saving = saving
    recorder?.note(
      "requested \(store.path(step: saving.step)) (\(ProgressText.memory(bytes: saving.length)) a rank, "
        + "written while training goes on)")
  }

  /// Between two steps: goes on with the save that is under way, if there is one.
  func pollSave(_ recorder: RunRecorder?) throws(CheckpointError) {
    if let saving, let every = configuration.checkpoint.every, 2 * (state.step - saving.step) >= every {
      saving.pace.hurry()
    }
    try goingOn(recorder) { (recorder) throws(CheckpointError) in
      try followSave(isPatient: false, recorder)
    }
  }

  /// Waits for the save that is under way, if there is one.
  func finishSave(_ recorder: RunRecorder?) throws(CheckpointError) {
    try goingOn(recorder) { (recorder) throws(CheckpointError) in
      try followSave(isPatient: true, recorder)
    }
  }

  private func followSave(isPatient: Bool, _ recorder: RunRecorder?) throws(CheckpointError) {
    guard let saving else { return }
    defer { if saving.isOver { self.saving = nil } }
    let waiting = { (seconds: Double) -> Void in
      let time = "\(ProgressText.digits(seconds)) s of waiting"
      let cause = "\(self.store.directory) is slow or hangs, on this node or another"
      recorder?.note(
        saving.isDurable
          ? "step-\(saving.step) is saved, but what is no longer kept is not removed after \(time): \(cause)"
          : "step-\(saving.step) is not on the disk after \(time): \(cause); what was saved before is whole")
    }
    while let event = try saving.advance(isPatient: isPatient, waiting: waiting) {
      switch event {
      case .written: break
      case .durable(let saved):
        (lastSave, failedSave) = ((store.path(step: saving.step), saving.step), nil)
        guard let saved else { break }
        let wait =
          saving.isHurried ? "" : "; durable \(ProgressText.digits(saving.seconds)) s after the request"
        recorder?.note("saved \(saved.path) (\(ProgressText.memory(bytes: saved.length)))\(wait)")
      case .over(let saved):
        for leftover in saved?.leftovers ?? [] {
          recorder?.note("could not remove an old checkpoint: \(leftover)")
        }
      }
    }
  }

  /// A save that fails is the end of a run, unless `checkpoint.on_failure` says otherwise.
  private func goingOn(
    _ recorder: RunRecorder?, _ body: (RunRecorder?) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    do throws(CheckpointError) { try body(recorder) } catch {
      failedSave = error
      guard configuration.checkpoint.onFailure == .goOn else { throw error }
      recorder?.note("could not save: \(error); training goes on (checkpoint.on_failure: go_on)")
    }
  }
}
