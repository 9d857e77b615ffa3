import Checkpoint
import Communication
import Foundation
import Synchronization
import Testing

@testable import Training

/// A disk whose writes wait until it is opened, and then may fail.
private final class GatedDisk: FileSystem {
  private let disk = PosixFileSystem()
  private let isOpen = Mutex(false)
  private let code: Int32?
  init(failing code: Int32? = nil) { self.code = code }

  func open() { isOpen.withLock { $0 = true } }

  func makeDirectory(_ path: String) throws(CheckpointError) { try disk.makeDirectory(path) }
  func create(_ path: String) throws(CheckpointError) -> OpenFile { try disk.create(path) }
  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile) throws(CheckpointError) -> Int {
    while file.path.hasSuffix(".safetensors"), !isOpen.withLock({ $0 }) { usleep(1000) }
    if let code { throw CheckpointError(.system(code), path: file.path, "cannot write: as the test says") }
    return try disk.write(bytes, to: file)
  }
  func synchronize(_ file: OpenFile) throws(CheckpointError) { try disk.synchronize(file) }
  func close(_ file: OpenFile) throws(CheckpointError) { try disk.close(file) }
  func rename(_ path: String, to newPath: String) throws(CheckpointError) {
    try disk.rename(path, to: newPath)
  }
  func synchronizeDirectory(_ path: String) throws(CheckpointError) { try disk.synchronizeDirectory(path) }
  func removeFile(_ path: String) throws(CheckpointError) { try disk.removeFile(path) }
  func removeDirectory(_ path: String) throws(CheckpointError) { try disk.removeDirectory(path) }
}

/// `checkpoint.asynchronous`: what is written is the state between two steps, whenever it is written.
struct AsynchronousSaveTests {
  private let directory = try! ReportingDirectory()

  private func trainer(
    _ settings: [String] = [], ranks: Int = 1, world: Communicator? = nil, disk: GatedDisk? = nil
  ) throws -> Trainer {
    let configuration = try RankRuns.configuration(
      ["run.directory=\(directory.path)", "checkpoint={every: 1}", "parallel={data: \(ranks), expert: 1}"]
        + settings)
    let trainer = try Trainer(configuration, resume: .auto, world: world)
    if let disk {
      trainer.store = CheckpointStore(directory: configuration.checkpointDirectory, fileSystem: disk)
    }
    return trainer
  }

  private var store: CheckpointStore {
    CheckpointStore(directory: directory.file("ranks/checkpoints"))
  }

  private static func tensors(_ checkpoint: StoredCheckpoint) throws -> [String: [UInt8]] {
    var tensors: [String: [UInt8]] = [:]
    for name in checkpoint.names {
      let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: try checkpoint.entry(name).byteCount, alignment: 64)
      defer { buffer.deallocate() }
      try checkpoint.copy(name, to: buffer)
      tensors[name] = Array(buffer)
    }
    return tensors
  }

  /// The disk is so slow that training is two steps further when it takes the first byte.
  @Test(arguments: [1, 2])
  func whatIsWrittenIsTheStateAtTheRequest(ranks: Int) throws {
    let disks = (0..<ranks).map { _ in GatedDisk() }
    _ = try World.loopback(ranks: ranks) { world in
      let communicator = world.communicator
      let trainer = try trainer(ranks: ranks, world: communicator, disk: disks[communicator.rank])
      _ = try trainer.step()
      try trainer.save(nil)
      let exact = CheckpointStore(directory: directory.file("exact"))
      trainer.settle()
      _ = try trainer.runCheckpoint.save(trainer.state, configuration: "", to: exact)
      for _ in 0..<2 {
        _ = try trainer.step()
        try trainer.pollSave(nil)
        #expect(trainer.lastSave.path == nil && trainer.saving?.step == 1)
        #expect(!FileManager.default.fileExists(atPath: "\(store.directory)/step-1"))
      }
      // One rank that has written is not enough.
      disks[0].open()
      for _ in 0..<20 where ranks > 1 {
        usleep(2000)
        try trainer.pollSave(nil)
        #expect(trainer.saving != nil)
      }
      disks[ranks - 1].open()
      while trainer.saving != nil { try trainer.pollSave(nil) }
      #expect(trainer.lastSave.path == "\(store.directory)/step-1" && trainer.lastSave.step == 1)
    }
    let saved = try store.open()
    #expect(saved.manifest.step == 1 && saved.manifest.nextSample == 8)
    #expect(
      try Self.tensors(saved) == Self.tensors(CheckpointStore(directory: directory.file("exact")).open()))
  }

  @Test func aSecondSaveIsSkippedOrWaits() throws {
    for (policy, steps) in [("skip", [1]), ("wait", [2, 1])] {
      let disk = GatedDisk()
      let trainer = try trainer(
        ["checkpoint={every: 1, when_busy: \(policy)}", "run.name=\(policy)"], disk: disk)
      _ = try trainer.step()
      try trainer.save(nil)
      _ = try trainer.step()
      if policy == "wait" {
        Thread.detachNewThread {
          usleep(20_000)
          disk.open()
        }
      }
      try trainer.save(nil)
      #expect(trainer.saving?.step == steps[0])
      disk.open()
      try trainer.finishSave(nil)
      #expect(try trainer.store.steps() == steps, "\(policy)")
      #expect(trainer.lastSave.step == steps[0])
    }
  }

  /// A rank's thread that cannot write ends the run on all ranks, or none.
  @Test(arguments: ["stop", "go_on"])
  func aFailureInTheBackgroundReachesAllRanks(policy: String) throws {
    let disks = [GatedDisk(), GatedDisk(failing: ENOSPC)]
    for disk in disks { disk.open() }
    let errors = try World.loopback(ranks: 2) { world in
      let communicator = world.communicator
      let trainer = try trainer(
        ["checkpoint={every: 1, on_failure: \(policy)}"], ranks: 2, world: communicator,
        disk: disks[communicator.rank])
      _ = try trainer.step()
      var error: CheckpointError?
      do throws(CheckpointError) {
        try trainer.save(nil)
        try trainer.finishSave(nil)
      } catch let failure { error = failure }
      _ = try trainer.step()
      #expect(trainer.saving == nil && trainer.lastSave.path == nil)
      return error
    }
    #expect(errors[0] == errors[1] && (errors[0] != nil) == (policy == "stop"))
    if let error = errors[0] {
      #expect(error.message.contains("rank 1") && error.kind == .system(ENOSPC), "\(error)")
    }
    #expect(try store.steps() == [])
  }

  @Test func aCopyThatDoesNotFitIsRefusedByName() throws {
    let trainer = try trainer()
    let copy = trainer.runCheckpoint.byteCount
    try trainer.requireSnapshotFits(available: 1 << 40)
    let error = try #require(throws: TrainingError.self) {
      try trainer.requireSnapshotFits(available: 2 * copy)
    }
    #expect("\(error)".contains("Set checkpoint.asynchronous to false"), "\(error)")
    let without = try self.trainer(["checkpoint={every: 1, asynchronous: false}"])
    try without.requireSnapshotFits(available: 0)
    let never = try self.trainer(["checkpoint={every: null}"])
    try never.requireSnapshotFits(available: 0)
  }
}

extension WholeRuns {
  struct AsynchronousRunTests {
    /// Every checkpoint, every record and the end of the run have the same bits.
    @Test func changesNoBits() throws {
      let runs = try SmallRuns()
      for (name, isAsynchronous) in [("background", true), ("foreground", false)] {
        let trainer = try runs.trainer(
          name, ["checkpoint={every: 1, keep: null, asynchronous: \(isAsynchronous)}"])
        try runs.run(trainer)
      }
      for step in 1...12 {
        let same = try runs.tensors("background", step: step) == runs.tensors("foreground", step: step)
        #expect(same, "step \(step)")
      }
      try runs.expectSame("background", "foreground", step: 12)
    }
  }
}
