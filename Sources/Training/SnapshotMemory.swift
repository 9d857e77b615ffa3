internal import Autograd
internal import Communication
internal import Model
internal import Optimization
internal import Tensors

extension Trainer {
  /// Refuses saves in the background where their copy does not fit beside what the run holds anyway.
  ///
  /// - Throws: `TrainingError.noRoomForSnapshot`.
  func requireSnapshotFits(available: Int = MemoryCheck.limit()) throws(TrainingError) {
    let section = configuration.checkpoint
    guard section.asynchronous, section.every != nil else { return }
    let parameters = model.parameters.reduce(0) { sum, parameter in
      sum + 2 * parameter.master.byteCount + (parameter.roundedCopy?.byteCount ?? 0)
    }
    let held = optimizer.moments.reduce(parameters) { $0 + $1.tensor.byteCount }
    // Ranks on one machine share its memory.
    let hosts = ranks?.grid.world.hosts ?? []
    let beside = max(1, ranks.map { ranks in hosts.count { $0 == hosts[ranks.grid.world.rank] } } ?? 1)
    let copy = runCheckpoint.byteCount
    guard (held + copy) * beside > available else { return }
    throw .noRoomForSnapshot(copy: copy, held: held, ranks: beside, available: available)
  }
}
