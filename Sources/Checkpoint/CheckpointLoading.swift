package import Tensors

extension StoredCheckpoint {
  /// Fills pieces of tensors and compares the SHA-256 of files in one pass: files that are hashed are read from end to end,
  /// of the others what the pieces need.
  ///
  /// Float types are converted (to nearest, ties to even) where they differ; such pieces are mapped after that.
  /// - Parameter staysCached: whether what is read should stay in the page cache, as for others who read the same files.
  /// - Throws: `CheckpointError`: before anything is written for pieces that cannot be filled; any other, for a file, means
  ///   that what the pieces hold means nothing.
  package func load(
    into pieces: [TensorPiece], hashing: Hashing, staysCached: Bool = false
  ) throws(CheckpointError) {
    try requireReadable(pieces.map(\.record))
    let copies = try SliceCopies(pieces, of: self)
    let staysCached = staysCached || hashing.isShared || !copies.others.isEmpty
    for (index, file) in manifest.files.enumerated() {
      let path = "\(path)/\(file.name)"
      let own = copies.inFiles[file.name] ?? FileCopies([])
      if hashing.includes(index) {
        let digest = try FileDigest(
          ofFileAt: path, length: file.digest.length, staysCached: staysCached,
          then: own.isEmpty ? nil : own.copy)
        try file.require(digest, at: path)
      } else if !own.isEmpty {
        try BlockReader(path, own.ranges, staysCached: staysCached).read(own.copy)
      }
    }
    for piece in copies.others { try fill(piece.tensor, with: piece.name, elements: piece.range) }
  }
}

extension TensorPiece {
  /// The whole tensor's name and shape, in the type of the piece.
  package var record: TensorRecord {
    TensorRecord(name: name, type: tensor.dtype.scalarType, shape: shape)
  }
}

/// What goes from the slices of a checkpoint to pieces of tensors.
private struct SliceCopies {
  private(set) var inFiles: [String: FileCopies] = [:]
  /// Pieces of another type than the tensor is stored in, or stored where an element may be cut in two by a page.
  private(set) var others: [TensorPiece] = []

  init(_ pieces: [TensorPiece], of checkpoint: StoredCheckpoint) throws(CheckpointError) {
    var copies: [String: [SliceCopy]] = [:]
    for piece in pieces where !piece.range.isEmpty {
      let slices = try checkpoint.slices(of: piece.name)
      let width = piece.tensor.dtype.scalarType.width
      guard
        slices.allSatisfy({ $0.type == piece.tensor.dtype.scalarType && $0.place.lowerBound % width == 0 })
      else {
        others.append(piece)
        continue
      }
      var destination = piece.tensor.pointer
      for region in Box.boxes(of: piece.range, in: piece.shape) {
        for slice in slices {
          guard let copy = SliceCopy(slice.place, slice.box, region, destination, width: width) else {
            continue
          }
          copies[slice.file, default: []].append(copy)
        }
        destination += region.count * width
      }
    }
    inFiles = copies.mapValues(FileCopies.init)
  }
}

/// What goes from one file to pieces of tensors.
///
/// `@unchecked Sendable`: nobody touches the pieces until all copies are done.
private struct FileCopies: @unchecked Sendable {
  private let copies: [SliceCopy]

  init(_ copies: [SliceCopy]) { self.copies = copies }

  var isEmpty: Bool { copies.isEmpty }
  var ranges: [Range<Int>] { copies.map(\.place) }

  /// Copies what a block of the file holds of them.
  @Sendable func copy(_ block: FileBlock) {
    for copy in copies where copy.place.overlaps(block.place) { copy.take(block) }
  }
}

/// The elements that a slice in a file and a part of a tensor in memory have in common.
private struct SliceCopy {
  /// Of the file: from the first common element to the last.
  let place: Range<Int>
  /// Where the slice begins in the file.
  private let begin: Int
  private let slice: Box
  private let region: Box
  private let destination: UnsafeMutableRawBufferPointer
  private let width: Int

  /// - Parameters:
  ///   - stored: where the slice is in the file, which is a multiple of `width`.
  ///   - destination: takes the elements of `region`, dense and row-major.
  /// - Returns: nil if they have none.
  init?(_ stored: Range<Int>, _ slice: Box, _ region: Box, _ destination: UnsafeMutableRawPointer, width: Int)
  {
    guard let common = slice.intersection(region) else { return nil }
    let last = common.shape.indices.map { common.end($0) - 1 }
    place =
      stored.lowerBound + slice.offset(of: common.offset) * width..<stored.lowerBound
      + (slice.offset(of: last) + 1) * width
    begin = stored.lowerBound
    (self.slice, self.region, self.width) = (slice, region, width)
    self.destination = UnsafeMutableRawBufferPointer(start: destination, count: region.count * width)
  }

  /// Copies what the block holds of them.
  func take(_ block: FileBlock) {
    let part = place.clamped(to: block.place)
    var source = UnsafeRawBufferPointer(
      rebasing: block.bytes[
        part.lowerBound - block.place.lowerBound..<part.upperBound - block.place.lowerBound])
    let elements = (part.lowerBound - begin) / width..<(part.upperBound - begin) / width
    for var box in Box.boxes(of: elements, in: slice.shape) {
      for dimension in box.offset.indices { box.offset[dimension] += slice.offset[dimension] }
      copyCommonElements(from: source, of: box, to: destination, of: region, width: width)
      source = UnsafeRawBufferPointer(rebasing: source[(box.count * width)...])
    }
  }
}
