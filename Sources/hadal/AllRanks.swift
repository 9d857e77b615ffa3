internal import Communication
internal import Training

/// Runs a command on every rank that was started; the first that fails ends them all.
///
/// One rank alone fails as any command does.
func onAllRanks(
  _ configuration: RunConfiguration, _ body: (Communicator) throws -> Void
) throws {
  let section = configuration.communication
  try onAllRanks(.init(timeout: section.timeout, sharesMemory: section.sharedMemory), body)
}

/// The same for a command without a configuration.
func onAllRanks(_ settings: World.Settings, _ body: (Communicator) throws -> Void) throws {
  let world = try World.open(settings)
  guard world.communicator.size > 1 else {
    try body(world.communicator)
    return try world.close()
  }
  do {
    try body(world.communicator)
    try world.close()
  } catch {
    world.communicator.endJob(error, code: CommandFailure(error).code)
  }
}
