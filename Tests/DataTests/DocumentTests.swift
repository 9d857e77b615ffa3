import Foundation
import Testing

@testable import Data

@Suite struct DocumentTests {
  private func documents(_ source: DocumentSource) throws -> [String] {
    var reader = try DocumentReader(source, files: FileList(source).files)
    var documents: [String] = []
    while let document = try reader.next() { documents.append(document) }
    return documents
  }

  @Test(arguments: [
    ("a\n%\nb\nc\n%\nd\n", ["a", "b\nc", "d"]), ("%\na\n%\n%\n\n%\nb", ["a", "b"]),
    ("a\r\n%\r\nb\r\n", ["a", "b"]), ("a %\n%b\n %\n", ["a %\n%b\n %"]),
    ("\n a\n\n%\nb\n\n", ["\n a\n", "b\n"]),
    ("%", []), ("", []), ("a\n%", ["a"]),
  ])
  func recordsAreCutAtTheSeparator(text: String, expected: [String]) throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("f", text)
    let source = DocumentSource(paths: [path], separator: "%")
    let found = try documents(source)
    #expect(found.map { Array($0.utf8) } == expected.map { Array($0.utf8) })
  }

  @Test func withoutSeparatorAFileIsADocument() throws {
    let directory = try TemporaryDirectory()
    try directory.write("a", "one\n%\ntwo\n")
    try directory.write("b", " \n\t\r\n")
    var reader = try DocumentReader(
      DocumentSource(paths: []), files: [directory.path("a"), directory.path("b")])
    #expect(try reader.next() == "one\n%\ntwo\n")
    #expect(try reader.next() == nil)
    #expect(reader.blanks == 1)
  }

  @Test func linesOfJSON() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write(
      "a.jsonl", #"{"text": "a\nb", "id": 1}"# + "\n\n" + #"{"text":"ü\u00fc😀"}"#)
    #expect(try documents(DocumentSource(paths: [path], separator: "%")) == ["a\nb", "üü😀"])
    for (line, reason) in [
      ("{\"text\": \"a\"", "not JSON"), ("[1]", "not a JSON object with a field \"text\""),
      ("{\"b\": \"x\", \"a\": 1}", "no field \"text\" among: a, b"),
      ("{\"text\": 3}", "the field \"text\" is not a string"),
      ("{\"text\": null}", "the field \"text\" is not a string"),
    ] {
      let bad = try directory.write("bad.jsonl", "{\"text\": \"fine\"}\n\(line)\n")
      #expect(throws: DocumentError.badLine(path: bad, line: 2, reason: reason)) {
        try documents(DocumentSource(paths: [bad]))
      }
    }
  }

  @Test(arguments: [
    ([0x61, 0x0A, 0xFF, 0x62] as [UInt8], 2), ([0xC3], 0), ([0x61, 0xC3, 0x28], 1),
    ([0x61, 0x62, 0xED, 0xA0, 0x80], 2),
    ([0xC0, 0x80], 0), ([0xE6, 0xBC, 0xA2, 0x80], 3),
  ])
  func invalidUTF8IsFound(bytes: [UInt8], offset: Int) throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("f", bytes)
    #expect(throws: DocumentError.notUTF8(path: path, byte: offset)) {
      try documents(DocumentSource(paths: [path]))
    }
  }

  @Test func directoriesAreReadInOrder() throws {
    let directory = try TemporaryDirectory()
    for name in ["b/2", "a", "b/1", "Z", "x.dat", "b/.hidden", "c.txt"] { try directory.write(name, name) }
    try FileManager.default.createSymbolicLink(atPath: directory.path("link"), withDestinationPath: "a")
    try FileManager.default.createSymbolicLink(atPath: directory.path("loop"), withDestinationPath: ".")
    var source = DocumentSource(paths: [directory.path], skippedExtensions: ["dat"])
    var list = try FileList(source)
    #expect(list.files == ["Z", "a", "b/1", "b/2", "c.txt"].map(directory.path))
    #expect(list.skipped == 4)
    #expect(list.bytes == 1 + 1 + 3 + 3 + 5)
    source.skippedExtensions = []
    list = try FileList(source)
    #expect(list.files.contains(directory.path("x.dat")))
    // What is named is read, link or not.
    #expect(try documents(DocumentSource(paths: [directory.path("link")])) == ["a"])
  }

  @Test func nothingToReadIsAnError() throws {
    let directory = try TemporaryDirectory()
    #expect(throws: DocumentError.file(FileError("read", "/nowhere", code: ENOENT))) {
      try FileList(DocumentSource(paths: ["/nowhere"]))
    }
    #expect(throws: DocumentError.noFiles(paths: [directory.path], skipped: 0)) {
      try FileList(DocumentSource(paths: [directory.path]))
    }
    #expect(throws: DocumentError.noFiles(paths: [], skipped: 0)) { try FileList(DocumentSource(paths: [])) }
    for separator in ["", "a\nb", "\r"] {
      #expect(throws: DocumentError.badSeparator(separator)) {
        try DocumentReader(DocumentSource(paths: [], separator: separator), files: [])
      }
    }
  }
}
