package import Communication

/// Something that has to hold among the ranks of a world of any size, whatever carries the messages.
///
/// The same checks run over the loopback (CommunicationTests) and under mpirun (Tests/MPI).
package struct Check: Sendable, CustomStringConvertible {
  package let name: String
  package let run: @Sendable (Communicator) throws -> Void

  package var description: String { name }

  /// Messages are cut into chunks of so many bytes, so that what 2 GiB are to MPI, a kilobyte is here.
  package static let chunk = 64

  package static let all: [Check] =
    PointToPointChecks.all + CollectiveChecks.all + ArrayChecks.all + GroupChecks.all + LendingChecks.all
}

/// What a check found.
package struct CheckFailure: Error, CustomStringConvertible {
  package let description: String

  package init(description: String) { self.description = description }

  /// The same, with the name of the check.
  package func of(_ check: Check) -> CheckFailure { CheckFailure(description: "\(check): \(description)") }
}

/// Throws unless both are the same.
func expect<Value: Equatable>(_ found: Value, _ expected: Value, _ what: String) throws {
  guard found == expected else { throw CheckFailure(description: "\(what): \(found) instead of \(expected)") }
}

/// Memory that a request can keep.
final class Memory {
  let bytes: UnsafeMutableRawBufferPointer

  /// Filled with what no message carries.
  init(count: Int) {
    bytes = .allocate(byteCount: count, alignment: 16)
    bytes.initializeMemory(as: UInt8.self, repeating: 0xEE)
  }

  convenience init(_ contents: [UInt8]) {
    self.init(count: contents.count)
    bytes.copyBytes(from: contents)
  }

  var contents: [UInt8] { Array(bytes) }
  var readable: UnsafeRawBufferPointer { UnsafeRawBufferPointer(bytes) }

  deinit { bytes.deallocate() }
}

/// Bytes that name the message that they belong to.
func pattern(_ numbers: Int..., count: Int) -> [UInt8] {
  let start = numbers.reduce(17) { $0 &* 31 &+ $1 }
  return (0..<count).map { UInt8(truncatingIfNeeded: (start &+ $0) &* 2_654_435_761 >> 7) }
}
