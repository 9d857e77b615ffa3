/// The MPI library's own all-to-all, as a measure for exchanges made of messages.
extension Communicator {
  /// Sends pieces to all ranks, this one included, and receives theirs; blocks, with nothing counted and no time limit.
  ///
  /// - Parameters:
  ///   - counts: bytes for each rank, in the order of the ranks one after the other; fewer than 2 GiB in all.
  ///   - arriving: bytes from each rank.
  /// - Throws: `CommunicationError` when the library fails, or there is none under this communicator.
  package func libraryAllToAll(
    _ sent: UnsafeRawBufferPointer, counts: [Int], into received: UnsafeMutableRawBufferPointer,
    arriving: [Int]
  ) throws(CommunicationError) {
    guard let transport = endpoint.transport as? MPITransport else {
      throw .startup("these ranks were not started by MPI: use mpirun")
    }
    precondition(
      counts.count == size && arriving.count == size && counts.reduce(0, +) <= sent.count
        && arriving.reduce(0, +) <= received.count,
      "\(counts) and \(arriving) bytes in \(sent.count) and \(received.count)")
    try transport.allToAll(sent, counts: counts, into: received, arriving: arriving, context: context)
  }
}
