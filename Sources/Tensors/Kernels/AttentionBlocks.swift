internal import CKernels

/// Queries whose scores exist at once, and the keys that they see.
struct AttentionBlock {
  /// Queries begin..<begin + count of a sequence; the first of them sees keys up to `first`.
  let begin, count, first: Int
  /// Scores start at this key, a multiple of 32 that no query of the block sees beyond, and are `columns` wide.
  let low, columns: Int
  /// The first key that each query sees, counted from `low`; nil for all from 0 on.
  let starts: [Int32]?
}

/// How the queries of a sequence are cut into blocks, and these into panels of the product kernels.
struct AttentionBlocks {
  let kernels: hadal_product_kernels
  private let shape: AttentionShape
  private let documents: Tensor?
  /// Queries in a block: whole panels, few enough that scores of long sequences stay in the second-level cache.
  let rows: Int
  /// The row length of scores: all keys, in whole panels.
  let scoreColumns: Int

  init(_ shape: AttentionShape, _ kernels: hadal_product_kernels, _ documents: Tensor?) {
    (self.shape, self.kernels, self.documents) = (shape, kernels, documents)
    precondition(
      documents.map { $0.count == shape.sequences * shape.queries } ?? true,
      "documents \(documents?.shape ?? []) for \(shape.sequences) sequences of \(shape.queries)")
    let panel = Int(kernels.rows)
    rows = max(1, (shape.keys > 1024 ? 56 : 112) / panel) * panel
    scoreColumns = kernels.paddedColumns(shape.keys)
  }

  /// The blocks of one head of one sequence.
  func all(_ item: Int) -> [AttentionBlock] {
    stride(from: 0, to: shape.queries, by: rows).map { begin in
      let count = min(rows, shape.queries - begin)
      let first = shape.keys - shape.queries + begin
      let sequence = item / shape.heads
      let starts = documents.map {
        Array(
          $0.elements(Int32.self)[sequence * shape.queries + begin..<sequence * shape.queries + begin + count]
        )
      }
      precondition(
        starts.map { zip($0, $0.dropFirst() + [.max]).allSatisfy { $0.0 >= 0 && $0.0 <= $0.1 } } ?? true
          && (starts ?? []).enumerated().allSatisfy { Int($0.element) <= first + $0.offset },
        "documents begin after their queries, or decrease: \(starts ?? [])")
      let low = Int(starts?.first ?? 0) / 32 * 32
      return AttentionBlock(
        begin: begin, count: count, first: first, low: low,
        columns: kernels.paddedColumns(first + count - low), starts: starts?.map { $0 - Int32(low) })
    }
  }

  /// Calls `body(row, rows, seen)` for each panel of a block: its rows, and how many keys from `low` on its last one sees.
  func forEachPanel(_ block: AttentionBlock, _ body: (_ row: Int, _ rows: Int, _ seen: Int) -> Void) {
    for row in stride(from: 0, to: block.count, by: Int(kernels.rows)) {
      let rows = min(Int(kernels.rows), block.count - row)
      body(row, rows, block.first + row + rows - block.low)
    }
  }
}

extension AttentionShape {
  /// Scores that are not masked, of all heads, times 2: the FLOPs for each unit of width.
  package var products: Double {
    let perHead = Double(queries) * (Double(keys - queries) + Double(queries + 1) / 2)
    return 2 * Double(sequences * heads) * perHead
  }
}
