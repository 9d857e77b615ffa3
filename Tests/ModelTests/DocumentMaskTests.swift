import Autograd
import Model
import OracleSupport
import Tensors
import Testing

/// A packed row in which positions see only their own document, in the main model and a module of each depth.
struct DocumentMaskTests {
  /// Documents of 7, 1, 11 and 5 tokens; the last token of each ends it.
  private let lengths = [7, 1, 11, 5]
  private let row: [Int32] = [
    3, 141, 59, 265, 35, 89, 1, 1, 79, 32, 38, 46, 264, 33, 83, 279, 50, 288, 1, 41, 97, 169, 39, 1,
  ]

  private func model(dense: Bool = false) throws -> DeepSeek {
    var configuration = tinyConfiguration()
    configuration.numNextnPredictLayers = 2
    configuration.initializerRange = 0.1
    if dense { configuration.firstKDenseReplace = 6 }
    let model = DeepSeek(configuration, compute: .float32, on: try Device(threads: 2))
    model.initialize(seed: 11)
    return model
  }

  /// The hidden states of each depth and position.
  private func hidden(
    _ model: DeepSeek, _ row: [Int32], documents: [Int32], _ boundaries: DocumentBoundaries
  ) -> [[[Float]]] {
    let batch = MicroBatch(
      sequences: 1, length: row.count, inputs: row, labels: row.dropFirst() + [MicroBatch.ignored],
      documents: documents, boundaries: boundaries)
    let context = ForwardContext(
      tape: Tape(on: model.device, isRecording: false), sequences: 1, length: row.count,
      table: model.rotaryTable(row.count))
    let objective = Objective(validLabels: batch.validLabels(depths: 2), multiTokenWeight: 0.3)
    return model.losses(batch, objective, context).hidden.map { all in
      (0..<row.count).map { Array(all.floats[$0 * all.columns..<($0 + 1) * all.columns]) }
    }
  }

  private var documents: [Int32] {
    lengths.indices.flatMap { [Int32](repeating: Int32($0), count: lengths[$0]) }
  }

  /// Positions that read a token of the next document are left out: those of depth k within k of the end.
  @Test(arguments: [DocumentBoundaries.attention, [.attention, .multiTokenPrediction]])
  func equalsItsDocuments(boundaries: DocumentBoundaries) throws {
    let model = try model()
    let packed = hidden(model, row, documents: documents, boundaries)
    let across = hidden(model, row, documents: documents, [])
    var begin = 0
    for length in lengths {
      let alone = hidden(
        model, Array(row[begin..<begin + length]), documents: Array(repeating: 0, count: length), boundaries)
      for depth in 0...2 {
        for i in 0..<max(0, length - depth) {
          let error = relativeError(packed[depth][begin + i], alone[depth][i])
          #expect(error <= 1e-5, "depth \(depth), position \(i) of \(length): \(error)")
          guard begin > 0 else { continue }
          let seen = relativeError(across[depth][begin + i], alone[depth][i])
          #expect(seen > 1e-3, "depth \(depth), position \(i): without the mask off by only \(seen)")
        }
      }
      begin += length
    }
  }

  /// Another token in a document leaves all later ones as they were, bit by bit. Layers are dense: which tokens share
  /// an expert's product may depend on all of them.
  @Test(arguments: [0, 5, 6, 7, 12, 18])
  func earlierDocumentsHaveNoInfluence(changed: Int) throws {
    let model = try model(dense: true)
    var other = row
    other[changed] = (row[changed] + 160) % 320
    let next = documents.firstIndex { $0 > documents[changed] } ?? row.count
    let before = hidden(model, row, documents: documents, .attention)
    let after = hidden(model, other, documents: documents, .attention)
    let (across, acrossAfter) = (
      hidden(model, row, documents: documents, []), hidden(model, other, documents: documents, [])
    )
    for depth in 0...2 {
      #expect(after[depth][next...] == before[depth][next...], "depth \(depth)")
      #expect(after[depth][changed] != before[depth][changed])
      #expect(acrossAfter[depth][next...] != across[depth][next...], "the mask makes no difference")
    }
  }
}
