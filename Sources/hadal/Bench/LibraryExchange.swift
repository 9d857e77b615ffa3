internal import Communication
internal import Parallel
internal import Tensors

/// The same bytes between the same ranks by `MPI_Alltoallv`, a call for each hop.
struct LibraryExchange {
  private struct Hop {
    let group: Communicator
    /// Rows for, and from, each rank.
    let leaving, arriving: [Int]
  }

  private let hops: [Hop]
  /// Room for the rows of any hop, already touched.
  private let sent, received: Tensor

  /// - Parameters:
  ///   - counts: rows for each rank of a group, by hop.
  ///   - rowBytes: at most.
  init(_ path: ExchangePath, counts: [[Int]], rowBytes: Int, on device: Device) throws {
    hops = try zip(path.groups, counts).map { group, counts in
      Hop(group: group, leaving: counts, arriving: try group.exchange(counts: counts))
    }
    let rows = hops.flatMap { [$0.leaving.reduce(0, +), $0.arriving.reduce(0, +)] }.max() ?? 0
    let room = (rows * rowBytes + 3) / 4
    (sent, received) = (.zeros([room], on: device), .zeros([room], on: device))
  }

  /// As rows leave for the experts.
  func dispatch(rowBytes: Int) throws {
    for hop in hops { try run(hop.group, hop.leaving, hop.arriving, rowBytes) }
  }

  /// As rows come back.
  func combine(rowBytes: Int) throws {
    for hop in hops.reversed() { try run(hop.group, hop.arriving, hop.leaving, rowBytes) }
  }

  private func run(_ group: Communicator, _ leaving: [Int], _ arriving: [Int], _ rowBytes: Int) throws {
    try group.libraryAllToAll(
      UnsafeRawBufferPointer(sent.buffer), counts: leaving.map { $0 * rowBytes }, into: received.buffer,
      arriving: arriving.map { $0 * rowBytes })
  }
}
