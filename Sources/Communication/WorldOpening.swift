internal import Foundation

extension World {
  /// The ranks that mpirun or srun started, or a world of one where nobody did: that one never calls MPI.
  ///
  /// - Throws: `CommunicationError.startup` where the launcher and the MPI library do not know each other.
  package static func open(
    _ settings: Settings = Settings(),
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(CommunicationError) -> World {
    guard let launched = launchedRanks(environment) else {
      return try World(
        transport: LoopbackTransport.alone(), node: 0, host: ProcessInfo.processInfo.hostName,
        settings: settings)
    }
    let board = WaitBoard()
    let transport = try MPITransport(board: board, interval: settings.motorInterval)
    if let ranks = launched.ranks, ranks != transport.size {
      throw .startup(
        "\(launched.launcher) started \(ranks) ranks, but MPI knows of \(transport.size); "
          + (launched.launcher == "srun"
            ? "use srun --mpi=pmix" : "use the mpirun of the Open MPI that hadal is linked with"))
    }
    return try World(
      transport: transport, node: transport.node, host: transport.host, settings: settings, board: board)
  }

  /// Who started this process as one of several, and how many, where it says so; nil: nobody did.
  package static func launchedRanks(
    _ environment: [String: String]
  ) -> (launcher: String, ranks: Int?)? {
    if let ranks = environment["OMPI_COMM_WORLD_SIZE"] { return ("mpirun", Int(ranks)) }
    // A batch script has a process number too, but only what srun starts belongs to a step.
    if environment["SLURM_STEP_ID"] != nil, let ranks = environment["SLURM_STEP_NUM_TASKS"].flatMap(Int.init)
    {
      return ranks > 1 ? ("srun", ranks) : nil
    }
    return environment["PMIX_RANK"] == nil ? nil : ("a PMIx launcher", nil)
  }
}
