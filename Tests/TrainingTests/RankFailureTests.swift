import Checkpoint
import Communication
import Foundation
import Synchronization
import Testing

@testable import Training

/// One rank cannot do its part of a save or of an opening: all of them hear of it, in the same words, and none waits.
struct RankFailureTests {
  private let directory = try! ReportingDirectory()

  /// A disk that fails one kind of operation from some point on.
  private final class BadDisk: FileSystem {
    enum Fault: String, CaseIterable { case makeDirectory, create, write, synchronize, rename }
    private let disk = PosixFileSystem()
    private let fault: Fault?
    private let code: Int32
    init(_ fault: Fault?, _ code: Int32) { (self.fault, self.code) = (fault, code) }

    private func pass(_ operation: Fault, _ path: String) throws(CheckpointError) {
      guard operation == fault else { return }
      throw CheckpointError(
        .system(code), path: path, "cannot \(operation): \(String(cString: strerror(code)))")
    }

    func makeDirectory(_ path: String) throws(CheckpointError) {
      try pass(.makeDirectory, path)
      try disk.makeDirectory(path)
    }
    func create(_ path: String) throws(CheckpointError) -> OpenFile {
      try pass(.create, path)
      return try disk.create(path)
    }
    func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile) throws(CheckpointError) -> Int {
      try pass(.write, file.path)
      return try disk.write(bytes, to: file)
    }
    func synchronize(_ file: OpenFile) throws(CheckpointError) {
      try pass(.synchronize, file.path)
      try disk.synchronize(file)
    }
    func close(_ file: OpenFile) throws(CheckpointError) { try disk.close(file) }
    func rename(_ path: String, to newPath: String) throws(CheckpointError) {
      try pass(.rename, path)
      try disk.rename(path, to: newPath)
    }
    func synchronizeDirectory(_ path: String) throws(CheckpointError) { try disk.synchronizeDirectory(path) }
    func removeFile(_ path: String) throws(CheckpointError) { try disk.removeFile(path) }
    func removeDirectory(_ path: String) throws(CheckpointError) { try disk.removeDirectory(path) }
  }

  /// What each of three ranks hears when it saves step 1, after all have saved step 0.
  private func save(_ stores: [CheckpointStore]) throws -> [CheckpointError?] {
    let configuration = try RankRuns.configuration([
      "parallel={data: 3, expert: 1}", "training.global_batch_size=6",
    ])
    let good = CheckpointStore(directory: stores[0].directory)
    return try World.loopback(ranks: 3) { world in
      let trainer = try Trainer(configuration, resume: .apart, world: world.communicator)
      _ = try trainer.runCheckpoint.save(trainer.state, configuration: "", to: good)
      _ = try trainer.step()
      trainer.settle()
      do throws(CheckpointError) {
        _ = try trainer.runCheckpoint.save(
          trainer.state, configuration: "", to: stores[world.communicator.rank])
        return nil
      } catch {
        // Afterwards all go on together: the ranks still agree on what comes next.
        _ = try trainer.step()
        return error
      }
    }
  }

  @Test(arguments: [0, 1, 2], [("write", ENOSPC), ("create", EROFS), ("synchronize", EIO)])
  func oneRankCannotWrite(rank: Int, fault: (name: String, code: Int32)) throws {
    let path = directory.file("checkpoints")
    let stores = (0..<3).map { other in
      CheckpointStore(
        directory: path,
        fileSystem: BadDisk(other == rank ? .init(rawValue: fault.name) : nil, fault.code))
    }
    let errors = try save(stores)
    let error = try #require(errors[0])
    #expect(errors == [error, error, error])
    #expect(error.kind == .system(fault.code) && error.message.contains("step-1 was not saved"), "\(error)")
    // Rank 0 fails alone, before anybody else has begun.
    #expect(rank == 0 || error.message.contains("rank \(rank) on thread-\(rank)"), "\(error)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: path).sorted() == ["latest", "step-0"])
    #expect(try CheckpointStore(directory: path).open().manifest.step == 0)
  }

  @Test func rankZeroCannotRename() throws {
    let path = directory.file("checkpoints")
    let errors = try save(
      (0..<3).map { CheckpointStore(directory: path, fileSystem: BadDisk($0 == 0 ? .rename : nil, EIO)) })
    let error = try #require(errors[0])
    #expect(errors == [error, error, error] && error.message.contains("nothing is left of it"), "\(error)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: path).sorted() == ["latest", "step-0"])
  }

  @Test func aNodeThatDoesNotShareTheDirectoryIsRefused() throws {
    let path = directory.file("checkpoints")
    let errors = try save([path, path, directory.file("other")].map { CheckpointStore(directory: $0) })
    let error = try #require(errors[0])
    #expect(errors == [error, error, error])
    #expect(error.message.contains("rank 2 on thread-2: this rank does not see the directory"), "\(error)")
    #expect(error.message.contains("checkpoint.directory"), "\(error)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: path).sorted() == ["latest", "step-0"])
  }

  /// A flipped bit is found by the rank that reads the file, and passed over by all.
  @Test func damageThatOneRankFindsIsPassedOverByAll() throws {
    let settings = [
      "parallel={data: 2, expert: 1}", "run.directory=\(directory.path)", "checkpoint.keep=null",
    ]
    let configuration = try RankRuns.configuration(settings)
    let store = CheckpointStore(directory: configuration.checkpointDirectory)
    _ = try World.loopback(ranks: 2) { world in
      let trainer = try Trainer(configuration, resume: .auto, world: world.communicator)
      for _ in 0..<2 {
        _ = try trainer.step()
        trainer.settle()
        _ = try trainer.runCheckpoint.save(trainer.state, configuration: "", to: store)
      }
    }
    let file = "\(store.path(step: 2))/rank-00001-of-00002.safetensors"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    bytes[bytes.count - 9] ^= 4
    try bytes.write(to: URL(fileURLWithPath: file))
    let notes = try World.loopback(ranks: 2) { world in
      let trainer = try Trainer(configuration, resume: .auto, world: world.communicator)
      #expect(trainer.state.step == 1)
      return trainer.notes
    }
    for notes in notes {
      #expect(notes[0].contains("passed over a damaged checkpoint: \(file): rank 1"), "\(notes)")
      #expect(notes[1].contains("step-1"), "\(notes)")
    }
  }

  @Test func ranksThatSeeDifferentCheckpointsDoNotResume() throws {
    let parallel = "parallel={data: 2, expert: 1}"
    let configurations = try ["a", "b"].map {
      try RankRuns.configuration([parallel, "checkpoint.directory=\(directory.file($0))"])
    }
    let trainer = try Trainer(RankRuns.configuration([]), resume: .apart)
    let store = CheckpointStore(directory: configurations[0].checkpointDirectory)
    _ = try trainer.runCheckpoint.save(trainer.state, configuration: "", to: store)
    let error = try #require(throws: TrainingError.self) {
      _ = try World.loopback(ranks: 2) { world in
        let rank = world.communicator.rank
        _ = try Trainer(configurations[rank], resume: .auto, world: world.communicator)
      }
    }
    #expect("\(error)".contains("rank 0: steps 0; rank 1: none"), "\(error)")
  }
}
