import Communication
import CommunicationChecks
import Foundation

// What the unit tests check over the loopback, over MPI, and how a job ends when something is wrong: Tests/MPI/run.sh
// starts it with mpirun.
//   mpi-checks [silence|failure|death]

let mode = CommandLine.arguments.dropFirst().first
let world: World
do throws(CommunicationError) {
  world = try World.open(World.Settings(timeout: mode == nil ? 60 : 2, largestChunk: Check.chunk))
} catch {
  FileHandle.standardError.write(Data("\(error)\n".utf8))
  exit(1)
}
do {
  switch mode {
  case "silence": try waitForASilentRank(world.communicator)
  case "failure": try waitForOneThatFails(world.communicator)
  case "death": try waitForOneThatDies(world.communicator)
  default: try runChecks(world.communicator)
  }
  try world.close()
} catch {
  world.communicator.endJob(error)
}

func runChecks(_ all: Communicator) throws {
  for check in Check.all {
    do { try check.run(all) } catch let error as CheckFailure { throw error.of(check) }
  }
  if all.rank == 0 { print("\(Check.all.count) checks passed on \(all.size) ranks") }
}

/// The last rank computes for ever; the others wait for it, one of them from half a second later.
func waitForASilentRank(_ all: Communicator) throws {
  if all.rank == all.size - 1 { while true { sleep(1) } }
  if all.rank == 0 { usleep(500_000) }
  _ = try all.exchange(
    counts: Array(0..<all.size), Purpose("dispatch", .dispatch, layer: 12, microBatch: 3))
}

func waitForOneThatFails(_ all: Communicator) throws {
  if all.rank == 1 { throw CheckFailure(description: "no such file: tokens.bin") }
  try all.barrier()
}

func waitForOneThatDies(_ all: Communicator) throws {
  if all.rank == 1 { kill(getpid(), SIGKILL) }
  try all.barrier()
}
