import Checkpoint
import Communication
import Data
import Foundation
import Testing

@testable import Training

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

  /// A run that waits for a disk at its end says so, again and again but ever more rarely.
  @Test(arguments: [GatedDisk.Gate.writes, .removals])
  func aDiskThatHangsIsNotWaitedForInSilence(_ gate: GatedDisk.Gate) throws {
    let disk = GatedDisk(gate)
    let trainer = try trainer()
    trainer.store = CheckpointStore(directory: store.directory, keep: 1, fileSystem: disk)
    trainer.diskPatience = 0.02
    let path = directory.file("progress")
    let progress = creat(path, 0o600)
    defer { close(progress) }
    let recorder = try RunRecorder(trainer, progressTo: progress)
    let steps = gate == .writes ? 1 : 2
    let words =
      gate == .writes ? "step-1 is not on the disk after " : "step-2 is saved, but what is no longer kept"
    let lines = { @Sendable in
      (try? String(contentsOfFile: path, encoding: .utf8))?.split(separator: "\n")
        .filter { $0.hasPrefix(words) } ?? []
    }
    for step in 1...steps {
      _ = try trainer.step()
      try trainer.save(recorder)
      if step < steps { try trainer.finishSave(recorder) }
    }
    // Opened by the third line, or so late that the test fails.
    Thread.detachNewThread {
      for _ in 0..<2000 where lines().count < 3 { usleep(10_000) }
      disk.open()
    }
    try trainer.finishSave(recorder)
    let seconds = lines().compactMap { line in
      line.firstRange(of: "after ").flatMap { Double(line[$0.upperBound...].prefix { $0 != " " }) }
    }
    #expect(seconds.count >= 3)
    for (number, time) in seconds.enumerated() { #expect(time >= 0.02 * Double(1 << number), "\(seconds)") }
    #expect(try trainer.store.steps() == [steps])
  }

  /// What is only about to remove old checkpoints is not in the way of a save that may be skipped, which waits for that.
  @Test func aDurableSaveIsNotBusy() throws {
    let disk = GatedDisk(.removals)
    let trainer = try trainer(["checkpoint={every: 1, when_busy: skip}"])
    trainer.store = CheckpointStore(directory: store.directory, keep: 1, fileSystem: disk)
    for step in 1...2 {
      _ = try trainer.step()
      try trainer.save(nil)
      if step == 1 { try trainer.finishSave(nil) }
    }
    while trainer.lastSave.step < 2 { try trainer.pollSave(nil) }
    _ = try trainer.step()
    disk.open(after: 0.05)
    try trainer.save(nil)
    #expect(trainer.saving?.step == 3)
    try trainer.finishSave(nil)
    #expect(try trainer.store.steps() == [3])
  }

  /// Rests are nine times as long as the work, until half the way to the next save is gone.
  @Test func aSaveHurriesBeforeTheNextIsDue() throws {
    let disk = GatedDisk()
    let trainer = try trainer(["checkpoint={every: 4}"], disk: disk)
    _ = try trainer.step()
    try trainer.save(nil)
    let pace = try #require(trainer.saving?.pace)
    for expected in [0.09, 0] {
      _ = try trainer.step()
      try trainer.pollSave(nil)
      #expect(abs(pace.pause(after: 0.01) - expected) < 1e-12)
    }
    disk.open()
    try trainer.finishSave(nil)
  }

  /// Who waits for a save does not wait for its rests.
  @Test func aSaveThatIsWaitedForHurries() throws {
    let trainer = try trainer(["checkpoint={every: 100}"])
    _ = try trainer.step()
    try trainer.save(nil)
    let pace = try #require(trainer.saving?.pace)
    #expect(pace.pause(after: 10) == 1)
    try trainer.finishSave(nil)
    #expect(pace.pause(after: 10) == 0)
  }

  /// Ranks answer each other while one waits for its disk: `communication.timeout` is none for disks.
  @Test(arguments: [true, false])
  func aDiskMayBeSlowerThanMessages(isAsynchronous: Bool) throws {
    let disks = [GatedDisk(), GatedDisk()]
    disks[0].open()
    disks[1].open(after: 4)
    let loopback = World.Loopback(ranks: 2, settings: World.Settings(timeout: 2))
    let results = World.attempt(loopback) { world in
      let communicator = world.communicator
      let trainer = try trainer(
        ["checkpoint={every: 1, asynchronous: \(isAsynchronous)}"], ranks: 2, world: communicator,
        disk: disks[communicator.rank])
      try trainer.save(nil)
      try trainer.finishSave(nil)
      return trainer.lastSave.path
    }
    for result in results { #expect(try result.get() == "\(store.directory)/step-0") }
    #expect(try store.open().manifest.step == 0)
  }

  /// The new checkpoint is durable, and training goes on, while the old one is still being removed.
  @Test func oldCheckpointsAreRemovedInTheBackground() throws {
    let disks = [GatedDisk(.removals), GatedDisk(.removals)]
    _ = try World.loopback(ranks: 2) { world in
      let rank = world.communicator.rank
      let trainer = try trainer(ranks: 2, world: world.communicator)
      trainer.store = CheckpointStore(directory: store.directory, keep: 1, fileSystem: disks[rank])
      for step in 1...2 {
        _ = try trainer.step()
        try trainer.save(nil)
        if step == 1 { try trainer.finishSave(nil) }
      }
      while trainer.lastSave.step < 2 { try trainer.pollSave(nil) }
      #expect(trainer.saving?.step == 2)
      _ = try trainer.step()
      try trainer.pollSave(nil)
      #expect(trainer.saving?.step == 2, "the disk has not let go of the old one")
      #expect(try store.open().manifest.step == 2)
      disks[rank].open()
      try trainer.finishSave(nil)
    }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: store.directory).sorted() == ["latest", "step-2"])
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

    /// A run whose last save has failed has not ended well, even where it went on and saves nothing at its end.
    @Test(arguments: ["go_on", "stop"])
    func aLastSaveThatFailsIsNotPassedOver(policy: String) throws {
      let runs = try SmallRuns()
      let settings = ["checkpoint={every: 4, on_exit: false, on_failure: \(policy)}"]
      let trainer = try runs.trainer("a", settings)
      let disk = GatedDisk(failing: ENOSPC)
      disk.open()
      trainer.store = CheckpointStore(directory: trainer.store.directory, fileSystem: disk)
      let error = #expect(throws: CheckpointError.self) { try runs.run(trainer) }
      #expect(error?.kind == .system(ENOSPC))
      #expect((trainer.state.step == 12) == (policy == "go_on"), "\(trainer.state.step)")
      // One that is followed by a good one is.
      let other = try runs.trainer("b", settings)
      other.failedSave = error
      #expect(policy == "stop" ? true : try runs.run(other).step == 12)
    }

    /// Records cannot be written from some moment of an evaluation on: what is being saved, and what has been trained, is
    /// kept.
    @Test func whatIsBeingSavedSurvivesAFullDiskOfRecords() throws {
      let (runs, file) = (try SmallRuns(), TemporaryFile())
      var writer = try ShardWriter(path: file.path, vocabularySize: 1024, endOfText: 1)
      let tokens = scrambledTokens(4000, below: 1024, from: 2, seed: 4)
      try writer.append(document: tokens, textBytes: tokens.count)
      _ = try writer.finish()
      let settings = [
        "data={train: [\(file.path)], validation: [\(file.path)]}", "evaluation={every: 2}",
        "checkpoint.every=1",
      ]
      let trainer = try runs.trainer("a", settings)
      let disk = GatedDisk()
      trainer.store = CheckpointStore(directory: trainer.store.directory, fileSystem: disk)
      let recorder = try RunRecorder(trainer)
      let log = "\(trainer.configuration.runDirectory)/metrics.jsonl"
      Thread.detachNewThread {
        let text = { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }
        while !text().contains("\"step\":2,") { usleep(100) }
        let (files, own) = (FileManager.default, "/proc/self/fd")
        for name in (try? files.contentsOfDirectory(atPath: own)) ?? [] {
          let target = try? files.destinationOfSymbolicLink(atPath: "\(own)/\(name)")
          guard let number = Int32(name), target == log else { continue }
          let full = Glibc.open("/dev/full", O_WRONLY)
          dup2(full, number)
          close(full)
        }
        disk.open()
      }
      let error = #expect(throws: ReportingError.self) { _ = try trainer.run(recorder, stop: StopSignal()) }
      #expect(error?.path == log)
      let steps = try trainer.store.steps()
      #expect(steps.contains(1) && steps[0] == trainer.state.step, "\(steps), \(trainer.state.step)")
    }
  }
}
