internal import ArgumentParser
internal import Training

/// `hadal reference`: makes docs/configuration.md.
struct Reference: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints the configuration reference, as Markdown.", shouldDisplay: false)

  func run() { print(ConfigurationReference.markdown(), terminator: "") }
}
