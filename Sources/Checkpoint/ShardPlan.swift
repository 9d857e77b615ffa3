/// Who writes which part of a checkpoint whose tensors lie on several ranks.
///
/// Every rank makes the same plan from the same list, so nothing has to be sent. What one rank holds alone, it writes;
/// of what several hold, the one that has the fewest bytes to write so far. A rank's range of elements becomes a few
/// boxes (`Box.boxes`), each of them a tensor of the rank's file.
package struct ShardPlan: Sendable {
  /// Consecutive elements of a tensor that a rank holds.
  package struct Holding: Hashable, Sendable {
    package let tensor: TensorRecord
    package let elements: Range<Int>

    package init(_ tensor: TensorRecord, _ elements: Range<Int>) {
      (self.tensor, self.elements) = (tensor, elements)
    }

    /// All of a tensor.
    package init(_ tensor: TensorRecord) { self.init(tensor, 0..<tensor.elementCount) }
  }

  /// A box of a tensor, as one rank writes it.
  package struct Slice: Sendable {
    /// The tensor's name.
    package let name: String
    /// The same elements as the box has.
    package let elements: Range<Int>
    package let box: Box
    /// In the rank's file: the tensor's name if the box is all of it, else `name[0:4,8:16]`.
    package let record: TensorRecord
  }

  /// By name.
  package let tensors: [TensorRecord]
  /// By rank, and by name of their tensor.
  package let slices: [[Slice]]

  /// - Parameter holdings: by rank. Each element of each tensor must be held by some rank.
  package init(_ holdings: [[Holding]]) {
    var holders: [TensorRecord: [(elements: Range<Int>, rank: Int)]] = [:]
    for (rank, list) in holdings.enumerated() {
      for holding in list { holders[holding.tensor, default: []].append((holding.elements, rank)) }
    }
    tensors = holders.keys.sorted { $0.name < $1.name }
    precondition(Set(tensors.map(\.name)).count == tensors.count, "ranks differ in the shape of a tensor")
    var bytes = Array(repeating: 0, count: holdings.count)
    var slices: [[Slice]] = Array(repeating: [], count: holdings.count)
    for tensor in tensors {
      for (elements, rank) in Self.writers(of: tensor, among: holders[tensor] ?? [], &bytes) {
        slices[rank] += Self.slices(of: tensor, elements)
      }
    }
    self.slices = slices
  }

  /// Cuts a tensor where a holding begins or ends, and gives each part to one of its holders.
  private static func writers(
    of tensor: TensorRecord, among holders: [(elements: Range<Int>, rank: Int)], _ bytes: inout [Int]
  ) -> [(elements: Range<Int>, rank: Int)] {
    let count = tensor.elementCount
    if count == 0 { return [(0..<0, holders[0].rank)] }
    let cuts = Set(holders.flatMap { [$0.elements.lowerBound, $0.elements.upperBound] } + [0, count]).sorted()
    var parts: [(elements: Range<Int>, rank: Int)] = []
    for (start, end) in zip(cuts, cuts.dropFirst()) {
      let ranks = holders.filter { $0.elements.lowerBound <= start && $0.elements.upperBound >= end }.map(
        \.rank)
      guard let rank = ranks.min(by: { (bytes[$0], $0) < (bytes[$1], $1) }) else {
        preconditionFailure("no rank holds the elements \(start)..<\(end) of \(tensor.name) \(tensor.shape)")
      }
      bytes[rank] += (end - start) * tensor.type.width
      parts.append((start..<end, rank))
    }
    return parts
  }

  private static func slices(of tensor: TensorRecord, _ elements: Range<Int>) -> [Slice] {
    var next = elements.lowerBound
    return Box.boxes(of: elements, in: tensor.shape).map { box in
      defer { next += box.count }
      let record = TensorRecord(name: key(tensor, box), type: tensor.type, shape: box.shape)
      return Slice(name: tensor.name, elements: next..<next + box.count, box: box, record: record)
    }
  }

  /// As Python would write the part.
  private static func key(_ tensor: TensorRecord, _ box: Box) -> String {
    if box.shape == tensor.shape { return tensor.name }
    let parts = box.shape.indices.map { "\(box.offset[$0]):\(box.end($0))" }
    return "\(tensor.name)[\(parts.joined(separator: ","))]"
  }

  /// Bytes of the elements that each rank writes.
  package var byteCounts: [Int] { slices.map { $0.reduce(0) { $0 + $1.record.byteCount } } }

  /// - Parameter digests: of the files, by rank.
  func manifest(_ information: CheckpointInformation, _ digests: [FileDigest]) -> Manifest {
    precondition(digests.count == slices.count, "\(digests.count) files of \(slices.count) ranks")
    let names = slices.indices.map { Manifest.fileName(rank: $0, of: slices.count) }
    var places: [String: [Manifest.Slice]] = [:]
    for (file, slices) in zip(names, slices) {
      for slice in slices {
        places[slice.name, default: []].append(
          Manifest.Slice(box: slice.box, file: file, key: slice.record.name))
      }
    }
    return Manifest(
      configuration: information.configuration, step: information.step, tokens: information.tokens,
      nextSample: information.nextSample, state: information.state,
      files: zip(names, digests).map { Manifest.File(name: $0, digest: $1) },
      tensors: tensors.map { Manifest.Tensor($0, slices: places[$0.name] ?? []) })
  }
}
