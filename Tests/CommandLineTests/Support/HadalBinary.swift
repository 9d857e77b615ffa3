import Foundation

/// The program under test.
enum HadalBinary {
  /// What the environment variable HADAL_BINARY names, else what the build has put beside these tests.
  static func path() throws -> String {
    if let path = ProcessInfo.processInfo.environment["HADAL_BINARY"] {
      let file = URL(fileURLWithPath: path).path
      guard isProgram(file) else { throw MissingBinary(places: [file]) }
      return file
    }
    var directory = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    var places: [String] = []
    // On some systems the tests are a bundle, and the program is beside that.
    for _ in 0..<4 {
      places.append(directory.appendingPathComponent("hadal").path)
      directory.deleteLastPathComponent()
    }
    guard let path = places.first(where: isProgram) else { throw MissingBinary(places: places) }
    return path
  }

  private static func isProgram(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && !isDirectory.boolValue
      && FileManager.default.isExecutableFile(atPath: path)
  }
}

struct MissingBinary: Error, CustomStringConvertible {
  let places: [String]

  var description: String {
    "hadal is none of \(places.joined(separator: ", ")); build it (swift build --product hadal), or name it "
      + "with HADAL_BINARY"
  }
}

/// The directory of the package, which these tests are part of.
enum PackageRoot {
  static func path(_ name: String) -> String {
    // …/Tests/CommandLineTests/Support/HadalBinary.swift
    var url = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    for _ in 0..<4 { url.deleteLastPathComponent() }
    return url.appendingPathComponent(name).path
  }
}
