/// The name of an entry in a checkpoint directory, and what it means.
///
/// | name | is |
/// |---|---|
/// | `step-N` | a complete checkpoint |
/// | `.step-N.partial` | a save under way, or one that was cut off |
/// | `.step-N.replaced` | the former `step-N` while a new one takes its place; stands for it if that is missing |
/// | `.step-N.discarded` | a checkpoint that is being removed |
struct StepName: Hashable {
  enum Role: String, CaseIterable {
    case complete, partial, replaced, discarded
  }

  let step: Int
  let role: Role

  init(_ step: Int, _ role: Role = .complete) { (self.step, self.role) = (step, role) }

  /// Nil for a name that no save has made.
  init?(_ name: String) {
    guard let number = name.split(separator: "-").last?.split(separator: ".").first, let step = Int(number),
      let match = Role.allCases.map({ StepName(step, $0) }).first(where: { $0.text == name })
    else { return nil }
    self = match
  }

  var text: String { role == .complete ? "step-\(step)" : ".step-\(step).\(role.rawValue)" }
}

/// What a checkpoint directory holds.
struct StoreContents {
  /// The name of the directory of each complete step.
  private(set) var checkpoints: [Int: StepName] = [:]
  /// What a save that was cut off has left behind, to be removed.
  private(set) var debris: [StepName] = []

  /// A directory that does not exist yet holds nothing.
  init(_ directory: String) throws(CheckpointError) {
    let names: [StepName]
    do throws(CheckpointError) {
      names = try directoryContents(directory).compactMap { StepName($0) }
    } catch {
      guard error.kind == .missing else { throw error }
      return
    }
    for name in names where name.role == .complete { checkpoints[name.step] = name }
    for name in names where name.role != .complete {
      if name.role == .replaced, checkpoints[name.step] == nil {
        checkpoints[name.step] = name
      } else {
        debris.append(name)
      }
    }
  }

  var newestFirst: [StepName] { checkpoints.values.sorted { $0.step > $1.step } }
}
