import Foundation
import Testing

@testable import Data

@Suite struct AtomicFileTests {
  @Test func appearsOnlyWhenCommitted() throws {
    let directory = try TemporaryDirectory()
    do {
      let file = try AtomicFile(directory.path("a"))
      try file.write(Array("lost".utf8))
    }
    #expect(try directory.names().isEmpty)
    let file = try AtomicFile(directory.path("b"))
    try file.write(Array("xello".utf8))
    try file.rewriteStart(Array("h".utf8))
    try file.write(Array(" world".utf8))
    #expect(!FileManager.default.fileExists(atPath: directory.path("b")))
    try file.commit()
    #expect(try String(contentsOfFile: directory.path("b"), encoding: .utf8) == "hello world")
    #expect(try directory.names() == ["b"])
  }

  @Test func aFullDiskLeavesTheOldFile() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("a", "old")
    // The system's device that is always full stands in for the disk.
    let temporary = AtomicFile.temporaryPath(for: path)
    try FileManager.default.createSymbolicLink(atPath: temporary, withDestinationPath: "/dev/full")
    do {
      let file = try AtomicFile(path)
      try file.write(Array("new".utf8))
      let error = #expect(throws: FileError.self) { try file.commit() }
      #expect(error == FileError("write", path, code: ENOSPC))
      #expect(error?.description.contains("No space left on device") == true)
      #expect(error?.description.contains("free space") == true)
    }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "old")
    #expect(try directory.names() == ["a"])
  }

  @Test func whatCannotBeOpenedIsNamed() throws {
    let directory = try TemporaryDirectory()
    #expect(throws: FileError("create", "/nowhere/a", code: ENOENT)) { try AtomicFile("/nowhere/a") }
    #expect(throws: FileError("read", directory.path, code: EISDIR)) {
      try MappedFile.bytes(of: directory.path)
    }
    #expect(throws: FileError("map", "/dev/null", code: ENODEV)) { try MappedFile.bytes(of: "/dev/null") }
    #expect(try MappedFile.bytes(of: directory.write("empty", "")).isEmpty)
  }
}
