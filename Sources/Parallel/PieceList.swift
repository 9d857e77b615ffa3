package import Communication
package import Tensors

/// Which rank holds which pieces of the tensors of a run, and the way of a whole tensor to one rank.
///
/// A piece that several ranks hold is taken from the first of them.
package struct PieceList {
  /// A tensor of the run: name, type and whole shape.
  package struct Record: Hashable, Sendable {
    package let name: String
    package let dtype: DType
    package let shape: [Int]
  }

  /// A piece, wherever it is.
  private struct Place {
    let range: Range<Int>
    let rank: Int
  }

  /// In the order of their names.
  package let records: [Record]
  /// What each rank holds, by rank.
  package let holdings: [[(record: Record, range: Range<Int>)]]
  /// The places of the records, by name.
  private let indices: [String: Int]
  private let places: [String: [Place]]
  private let own: [String: [TensorPiece]]
  private let world: Communicator?
  private let waiter: Waiter

  /// Every rank calls this, with what it holds. A message that fails, here and later, ends the job.
  /// - Parameter world: nil for one rank alone.
  package init(_ pieces: [TensorPiece], _ world: Communicator?, _ waiter: Waiter) {
    (self.world, self.waiter) = (world, waiter)
    own = Dictionary(grouping: pieces, by: \.name)
    let text = Array(pieces.map(Self.line).joined(separator: "\n").utf8)
    let lists =
      world.map { world in
        waiter.endingJob(world) { () throws(CommunicationError) in
          try world.allGather(text, Purpose("list of tensors", .control))
        }
      } ?? [text]
    var places: [String: [Place]] = [:]
    var records: Set<Record> = []
    holdings = lists.map { bytes in
      String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(Self.parse)
    }
    for (rank, holdings) in holdings.enumerated() {
      for (record, range) in holdings {
        records.insert(record)
        let isKnown = places[record.name, default: []].contains { $0.range == range }
        if !isKnown { places[record.name, default: []].append(Place(range: range, rank: rank)) }
      }
    }
    let sorted = records.sorted { $0.name < $1.name }
    indices = Dictionary(uniqueKeysWithValues: sorted.enumerated().map { ($1.name, $0) })
    self.records = sorted
    self.places = places
  }

  private static func line(_ piece: TensorPiece) -> String {
    let shape = piece.shape.map(String.init).joined(separator: ",")
    let range = ["\(piece.range.lowerBound)", "\(piece.range.upperBound)"]
    return ([piece.name, piece.tensor.dtype.rawValue, shape] + range).joined(separator: "\t")
  }

  private static func parse(_ line: Substring) -> (record: Record, range: Range<Int>) {
    let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
    guard fields.count == 5, let dtype = DType(rawValue: String(fields[1])), let lower = Int(fields[3]),
      let upper = Int(fields[4])
    else { preconditionFailure("a rank lists \(line)") }
    let shape = fields[2].split(separator: ",").map { Int($0) ?? 0 }
    return (Record(name: String(fields[0]), dtype: dtype, shape: shape), lower..<upper)
  }

  /// On rank 0, a tensor: the others, which are in ``serve()``, are asked for the pieces that are not here.
  package func whole(_ name: String, on device: Device) -> Tensor {
    guard let index = indices[name] else { preconditionFailure("no rank holds \(name)") }
    let record = records[index]
    if let piece = own[name]?.first, piece.isWhole { return piece.tensor.reshaped(record.shape) }
    let target = Tensor(record.shape, record.dtype, on: device)
    for place in places[name] ?? [] {
      let part = target.view(at: place.range.lowerBound, [place.range.count])
      guard place.rank > 0, let world else {
        part.copy(piece(name, place.range))
        continue
      }
      ask(place.rank, for: index)
      waiter.endingJob(world) { () throws(CommunicationError) in
        let (buffer, tag) = (part.buffer, Self.answer)
        try world.receive(buffer, from: place.rank, tag: tag, owner: part.storage, purpose).wait()
      }
    }
    return target
  }

  /// Rank 0 needs no more.
  package func close() {
    for rank in 1..<max(world?.size ?? 1, 1) { ask(rank, for: -1) }
  }

  /// The other ranks answer rank 0 until it needs no more.
  package func serve() {
    guard let world else { return }
    while true {
      let question = Word(0)
      waiter.endingJob(world) { () throws(CommunicationError) in
        try world.receive(question.bytes, from: 0, tag: Self.question, owner: question, purpose).wait()
      }
      guard question.value >= 0 else { return }
      let name = records[question.value].name
      for place in places[name] ?? [] where place.rank == world.rank {
        let part = piece(name, place.range)
        waiter.endingJob(world) { () throws(CommunicationError) in
          let bytes = UnsafeRawBufferPointer(part.buffer)
          try world.send(bytes, to: 0, tag: Self.answer, owner: part.storage, purpose).wait()
        }
      }
    }
  }

  private func ask(_ rank: Int, for index: Int) {
    guard let world else { return }
    let question = Word(index)
    waiter.endingJob(world) { () throws(CommunicationError) in
      let bytes = UnsafeRawBufferPointer(question.bytes)
      try world.send(bytes, to: rank, tag: Self.question, owner: question, purpose).wait()
    }
  }

  private func piece(_ name: String, _ range: Range<Int>) -> Tensor {
    guard let piece = own[name]?.first(where: { $0.range == range }) else {
      preconditionFailure("\(range) of \(name) is not on this rank")
    }
    return piece.tensor
  }

  private static let (question, answer) = (0, 1)
  private var purpose: Purpose { Purpose("tensors of a checkpoint", .control) }
}

/// A number of a message.
private final class Word {
  let bytes: UnsafeMutableRawBufferPointer
  init(_ value: Int) {
    bytes = .allocate(byteCount: MemoryLayout<Int>.size, alignment: MemoryLayout<Int>.alignment)
    bytes.storeBytes(of: value, as: Int.self)
  }
  var value: Int { bytes.load(as: Int.self) }
  deinit { bytes.deallocate() }
}
