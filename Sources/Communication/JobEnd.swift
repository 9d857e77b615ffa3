internal import Glibc

extension Communicator {
  /// Prints the error in one block, with the rank and its machine, and ends the job with this code.
  ///
  /// After a timeout the others have a moment to print what they wait for.
  package func endJob(_ error: any Error, code: Int32 = 1) -> Never {
    endpoint.board.write("\(error)")
    if case .timeout? = error as? CommunicationError {
      endpoint.transport.raiseAlarm()
      for _ in 0..<100 {
        // The job ends whatever happens here.
        try? endpoint.transport.progress()
        usleep(10_000)
      }
    }
    endpoint.transport.abort(code: code)
  }
}
