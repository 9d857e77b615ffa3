internal import ArgumentParser

/// The command line: one sub-command a file.
@main
struct Hadal: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hadal",
    abstract: "Trains DeepSeek-V3-style language models on CPUs.",
    subcommands: [
      Train.self, Evaluate.self, Generate.self, TokenizerCommand.self, Prepare.self, Import.self, Export.self,
      Probe.self, ScheduleCommand.self, PlanCommand.self, Verify.self, CheckpointCommand.self, Bench.self,
      Reference.self,
    ])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      CommandFailure(error).exit()
    }
  }
}
