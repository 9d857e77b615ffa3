package import Checkpoint
internal import Communication
internal import Foundation
internal import Model

/// Where a run begins.
package enum ResumeChoice: Sendable, Equatable {
  /// From the newest whole checkpoint of the run directory, if there is one.
  case auto
  /// From the start; refused where checkpoints would be overwritten.
  case never
  /// From a checkpoint, or the newest one of a directory of checkpoints.
  case path(String)
  /// From the start, whatever the run directory holds: for programs that write nothing there.
  case apart
}

/// Where a run will go on: what is known of it before anything large is made.
enum ResumePoint {
  case beginning
  case checkpoint(StoredCheckpoint)
  /// The first of these steps whose checkpoint is whole.
  case newest([Int])

  /// - Throws: `CheckpointError`, `TrainingError`.
  init(_ choice: ResumeChoice, _ store: CheckpointStore, _ ranks: CheckpointAgreement) throws {
    let exists = FileManager.default.fileExists(atPath: store.directory)
    switch choice {
    case .never:
      if exists, try !store.list().isEmpty { throw TrainingError.runExists(path: store.directory) }
      self = .beginning
    case .apart: self = .beginning
    case .auto:
      let steps = try ranks.steps(of: store)
      self = steps.isEmpty ? .beginning : .newest(steps)
    case .path(let path):
      let checkpoint = try ranks.open { () throws(CheckpointError) in
        try StoredCheckpoint.find(path, hashing: .none)
      }
      let step = checkpoint.manifest.step
      if exists, let later = try store.list().first(where: { $0.step > step }) {
        throw TrainingError.cannotResume(
          "\(store.directory): holds step-\(later.step), which is later than \(path): one run has one history; "
            + "choose another run.name to branch off, or remove the later checkpoints")
      }
      self = .checkpoint(checkpoint)
    }
  }
}

extension Trainer {
  func begin(at point: ResumePoint) throws {
    switch point {
    case .beginning: initialize()
    case .checkpoint(let checkpoint):
      let clock = ContinuousClock.now
      resume(checkpoint, try runCheckpoint.restoration(from: checkpoint).run(), since: clock)
    case .newest(let steps): try resumeNewest(of: steps)
    }
  }

  /// Goes on from the newest checkpoint that is whole for all ranks, and says why newer ones were passed over.
  private func resumeNewest(of steps: [Int]) throws {
    var rejected: [CheckpointError] = []
    for step in steps {
      let clock = ContinuousClock.now
      let checkpoint: StoredCheckpoint
      do throws(CheckpointError) { checkpoint = try open(.step(step)) } catch {
        rejected.append(error)
        continue
      }
      // One that is whole but of another model is not passed over.
      let restoration = try runCheckpoint.restoration(from: checkpoint)
      do throws(CheckpointError) {
        let restored = try restoration.run()
        notes += rejected.map { "passed over a damaged checkpoint: \($0)" }
        return resume(checkpoint, restored, since: clock)
      } catch { rejected.append(error) }
    }
    let reasons = rejected.map { "\n  \($0)" }.joined()
    throw TrainingError.cannotResume(
      "\(store.directory): no checkpoint is whole:\(reasons)\nremove the directory to start again")
  }

  /// Opens a checkpoint on all ranks.
  func open(_ choice: CheckpointStore.Choice) throws(CheckpointError) -> StoredCheckpoint {
    let store = store
    return try CheckpointAgreement(world: ranks?.grid.world).open { () throws(CheckpointError) in
      try store.open(choice, hashing: .none)
    }
  }

  private func resume(
    _ checkpoint: StoredCheckpoint, _ restored: RunState, since clock: ContinuousClock.Instant
  ) {
    state = restored
    lastSave = (checkpoint.path, state.step)
    let seconds = (ContinuousClock.now - clock) / .seconds(1)
    let size = ProgressText.memory(bytes: checkpoint.manifest.files.reduce(0) { $0 + $1.digest.length })
    notes.append(
      "resumed from \(checkpoint.path) after step \(state.step) (\(size), read and checked in "
        + "\(ProgressText.digits(seconds)) s)")
    let layers = adoptFallenBackLayers()
    if !layers.isEmpty {
      notes.append(
        "layers \(layers.map(String.init).joined(separator: ", ")) had left FP8 for bfloat16, and are in FP8 again: "
          + "precision.fp8.fall_back is no longer fall_back")
    }
    let changes = identity.differences(from: checkpoint.manifest.state)
    if !changes.isEmpty, state.tokens > 0 {
      notes.append(
        "the samples are not those that the checkpoint was trained on (\(changes.joined(separator: "; "))): "
          + "training goes on at sample \(state.nextSample) of another order")
    }
    if state.tokens > 0 { noteChangedSettings(checkpoint.manifest) }
  }

  /// Says which settings make that the run may not go on bit by bit.
  private func noteChangedSettings(_ manifest: Manifest) {
    let saved: RunConfiguration
    do throws(ConfigurationError) {
      saved = try RunConfiguration.parse(yaml: manifest.configuration, source: Manifest.fileName)
    } catch {
      notes.append(
        "the settings that the checkpoint was trained with are not known to this version: \(error)")
      return
    }
    let before: Int? =
      if case .integer(let ranks) = manifest.state[RunCheckpoint.ranksKey] { ranks } else { nil }
    notes +=
      ResumeDifferences(from: saved, to: configuration, ranks: (before, ranks?.grid.world.size ?? 1)).notes
  }
}

extension StoredCheckpoint {
  /// Opens a checkpoint by its own directory, by a directory of checkpoints, or by a run's directory.
  package static func find(
    _ path: String, hashing: Hashing = .all
  ) throws(CheckpointError) -> StoredCheckpoint {
    let exists = { FileManager.default.fileExists(atPath: $0) }
    let isDirectory = { (path: String) in
      var isDirectory: ObjCBool = false
      return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
    }
    if exists("\(path)/\(Manifest.fileName)") {
      return try StoredCheckpoint(path, hashing: hashing)
    }
    for directory in [path, "\(path)/checkpoints"] where isDirectory(directory) {
      let store = CheckpointStore(directory: directory)
      if exists("\(directory)/latest") { return try store.open(.latest, hashing: hashing) }
      // A process that died between two renames has saved its first checkpoint, but not named it.
      if let newest = try store.list().first { return try store.open(.step(newest.step), hashing: hashing) }
    }
    throw CheckpointError(
      .missing, path: path,
      "is neither a checkpoint (step-N), nor a directory of checkpoints, nor a run's directory")
  }
}
