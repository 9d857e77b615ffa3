extension CheckpointStore {
  /// Saves a checkpoint again, divided into another number of files, a few megabytes in memory at a time.
  ///
  /// - Throws: `CheckpointError` if the files cannot be written; then nothing is left of them.
  package func save(
    copyOf checkpoint: StoredCheckpoint, files: Int
  ) throws(CheckpointError) -> SavedCheckpoint {
    let manifest = checkpoint.manifest
    let information = CheckpointInformation(
      configuration: manifest.configuration, step: manifest.step, tokens: manifest.tokens,
      nextSample: manifest.nextSample, state: manifest.state)
    let plan = ShardPlan(dividing: manifest.tensors.map(\.record), into: files)
    var parts: [ShardedSave] = []
    for rank in 0..<files { parts.append(try ShardedSave(self, information, plan, rank: rank)) }
    var digests: [FileDigest] = []
    do throws(CheckpointError) {
      _ = try parts[0].begin()
      for part in parts {
        digests.append(
          try part.write { (slice, write) throws(CheckpointError) in
            try checkpoint.forEachBlock(slice.name, slice.elements) { (_, block) throws(CheckpointError) in
              try write(block)
            }
          })
      }
    } catch { throw parts[0].abandoned(because: error) }
    return try parts[0].commit(digests)
  }
}

extension StoredCheckpoint {
  /// Reads elements of a tensor a few megabytes at a time, in order.
  ///
  /// - Parameter body: gets the place of the block's first element, and its bytes.
  func forEachBlock(
    _ name: String, _ elements: Range<Int>,
    _ body: (_ first: Int, _ block: UnsafeRawBufferPointer) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    let width = try entry(name).type.width
    let most = (1 << 22) / width
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: min(most, elements.count) * width, alignment: 4096)
    defer { buffer.deallocate() }
    var first = elements.lowerBound
    while first < elements.upperBound {
      let end = min(first + most, elements.upperBound)
      let block = UnsafeMutableRawBufferPointer(rebasing: buffer[..<((end - first) * width)])
      try read(name, elements: first..<end, to: block)
      try body(first, UnsafeRawBufferPointer(block))
      first = end
    }
  }
}

extension ShardPlan {
  /// Divides tensors into files of like length, in their order; a matrix is cut between rows.
  package init(dividing tensors: [TensorRecord], into files: Int) {
    precondition(files > 0, "\(files) files")
    let total = tensors.reduce(0) { $0 + $1.byteCount }
    var holdings: [[Holding]] = Array(repeating: [], count: files)
    var begin = 0
    for tensor in tensors {
      let bytes = begin..<begin + tensor.byteCount
      begin = bytes.upperBound
      guard tensor.elementCount > 0 else {
        holdings[0].append(Holding(tensor))
        continue
      }
      let row = tensor.shape.dropFirst().reduce(1, *)
      // The first element of each file's part.
      let cuts = (0...files).map { file in
        let cut = min(max(Self.share(total, file, of: files), bytes.lowerBound), bytes.upperBound)
        return cut == bytes.upperBound
          ? tensor.elementCount : (cut - bytes.lowerBound) / tensor.type.width / row * row
      }
      for file in 0..<files where cuts[file] < cuts[file + 1] {
        holdings[file].append(Holding(tensor, cuts[file]..<cuts[file + 1]))
      }
    }
    self.init(holdings)
  }

  /// `total * part / parts`, of any total.
  private static func share(_ total: Int, _ part: Int, of parts: Int) -> Int {
    let product = total.multipliedFullWidth(by: part)
    return parts.dividingFullWidth(product).quotient
  }
}
