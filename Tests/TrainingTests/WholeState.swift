import Checkpoint
import Foundation
import Model
import Optimization
import Tensors
import Testing

@testable import Training

/// What one rank holds of a run: the pieces that a checkpoint is made of, and copies of what other ranks own.
struct HeldState: Sendable {
  struct Piece: Sendable {
    let name: String
    /// Of the whole tensor.
    let byteCount: Int
    let offset: Int
    let bytes: Data
  }

  let pieces: [Piece]
  let copies: [String: Data]
  let state: RunState

  /// Between two steps; every rank calls this.
  init(_ trainer: Trainer) {
    trainer.settle()
    let (model, optimizer) = (trainer.model, trainer.optimizer)
    pieces = (optimizer.weights + optimizer.moments).map { piece in
      let width = piece.tensor.dtype.byteCount
      return Piece(
        name: piece.name, byteCount: piece.shape.reduce(width, *), offset: piece.range.lowerBound * width,
        bytes: Data(piece.tensor.bytes))
    }
    copies = Dictionary(uniqueKeysWithValues: model.namedTensors.map { ($0.name, Data($0.tensor.bytes)) })
    state = trainer.state
  }
}

/// A run's tensors, each in one piece, whatever ranks hold it: put together here from what they have in memory, without
/// anything of what saves and loads.
struct WholeState: Equatable {
  private(set) var tensors: [String: Data] = [:]
  let state: RunState

  /// Requires that every byte is held by some rank, and that those who hold the same hold the same bits.
  init(_ ranks: [HeldState]) throws {
    state = try #require(ranks.first).state
    for rank in ranks { try #require(rank.state == state) }
    for (name, pieces) in Dictionary(grouping: ranks.flatMap(\.pieces), by: \.name) {
      tensors[name] = try Self.joined(name, pieces)
    }
    for rank in ranks {
      for (name, copy) in rank.copies {
        // Router biases are in no optimizer.
        let whole = tensors[name] ?? copy
        try #require(copy == whole, "a copy of \(name) is not what its owner has")
        tensors[name] = whole
      }
    }
  }

  private static func joined(_ name: String, _ pieces: [HeldState.Piece]) throws -> Data {
    var whole = Data()
    for piece in pieces.sorted(by: { $0.offset < $1.offset }) {
      try #require(piece.offset <= whole.count, "no rank has bytes from \(whole.count) on of \(name)")
      let common = min(whole.count - piece.offset, piece.bytes.count)
      let isSame = piece.bytes.prefix(common) == whole[piece.offset..<piece.offset + common]
      try #require(isSame, "\(name) differs between ranks")
      whole += piece.bytes.dropFirst(common)
    }
    try #require(whole.count == pieces[0].byteCount, "no rank has bytes from \(whole.count) on of \(name)")
    return whole
  }

  var biases: [String: Data] { tensors.filter { $0.key.hasSuffix("e_score_correction_bias") } }
}
