/// How a model is cut into the stages of a pipeline, written out: stages in order, with `|` between them; `E` the
/// embedding, `t` a layer, `L` the final norm, the modules of multi-token prediction and the head; `t*3` is `ttt`, and
/// `(tt|)*2` is `tt|tt|`.
package struct StageLayout: Hashable, Sendable {
  package let stages: [StageContents]

  /// What is wrong with a layout, in words.
  package struct Fault: Error, Hashable, CustomStringConvertible {
    package let description: String
    package init(description: String) { self.description = description }
  }

  /// Reads a layout.
  /// - Throws: where in the text something is wrong, or what does not fit the model.
  package init(_ text: String, of model: ModelConfiguration) throws(Fault) {
    var parser = LayoutParser(text)
    let parts = try parser.parse()
    let layers = parts.count(where: { $0 == "t" })
    guard layers == model.numHiddenLayers else {
      throw Fault(description: "\(text): has \(layers) layers (t), and the model \(model.numHiddenLayers)")
    }
    let order = parts.filter { $0 != "|" }
    guard order.first == "E", order.last == "L", order.dropFirst().dropLast().allSatisfy({ $0 == "t" }) else {
      throw Fault(description: "\(text): must begin with E, end with L, and have no other E or L")
    }
    var layer = 0
    // A bar may end the last stage too, as of a group that is repeated.
    let body = parts.last == "|" ? parts.dropLast() : parts[...]
    stages = body.split(separator: "|", omittingEmptySubsequences: false).map { stage in
      let count = stage.count(where: { $0 == "t" })
      defer { layer += count }
      return StageContents(
        hasEmbedding: stage.contains("E"), layers: layer..<layer + count, hasHead: stage.contains("L"))
    }
    if let empty = stages.firstIndex(where: { $0.layers.isEmpty && !$0.hasEmbedding && !$0.hasHead }) {
      throw Fault(description: "\(text): stage \(empty) is empty")
    }
  }

  /// The cut whose dearest stage is cheapest, by what a token costs in each part.
  /// - Throws: when there are more stages than parts.
  package init(stages count: Int, of model: ModelConfiguration, tokens: Int) throws(Fault) {
    let costs = PartCosts(model, context: tokens)
    // The embedding goes with the first layer and costs nothing; the end of the model is a part of its own.
    let parts = costs.layers + [costs.end]
    guard count <= parts.count else {
      throw Fault(
        description: "\(count) stages for \(model.numHiddenLayers) layers and a head: at most \(parts.count)")
    }
    let ends = Self.cuts(parts, into: count)
    stages = zip([0] + ends, ends).map { from, to in
      let layers = min(from, model.numHiddenLayers)..<min(to, model.numHiddenLayers)
      return StageContents(hasEmbedding: from == 0, layers: layers, hasHead: to == parts.count)
    }
  }

  package init(_ stages: [StageContents]) { self.stages = stages }

  /// Where the runs of a cut end, so that the greatest sum is least; the earliest such cut.
  static func cuts(_ costs: [Double], into count: Int) -> [Int] {
    let sums = costs.reduce(into: [0.0]) { $0.append($0[$0.count - 1] + $1) }
    // least[k][n]: the first n parts in k runs.
    var least = [Array(repeating: Double.infinity, count: costs.count + 1)]
    least[0][0] = 0
    var last = [[Int]]()
    for _ in 0..<count {
      var row = Array(repeating: Double.infinity, count: costs.count + 1)
      var from = Array(repeating: 0, count: costs.count + 1)
      for end in 1...costs.count {
        for begin in 0..<end {
          let worst = max(least[least.count - 1][begin], sums[end] - sums[begin])
          if worst < row[end] { (row[end], from[end]) = (worst, begin) }
        }
      }
      least.append(row)
      last.append(from)
    }
    var (ends, end) = ([Int](), costs.count)
    for from in last.reversed() {
      ends.append(end)
      end = from[end]
    }
    return ends.reversed()
  }
}

extension StageLayout: CustomStringConvertible {
  /// As it is read, with runs of layers as `t*3`.
  package var description: String {
    stages.map { stage in
      let count = stage.layers.count
      let layers = count < 2 ? String(repeating: "t", count: count) : "t*\(count)"
      return (stage.hasEmbedding ? "E" : "") + layers + (stage.hasHead ? "L" : "")
    }.joined(separator: "|")
  }
}

/// Products of one token in the parts of a model, forward, counted in multiplications: what a stage costs, but for the
/// speed at which a machine does each.
struct PartCosts {
  let layers: [Double]
  /// Head and modules of multi-token prediction.
  let end: Double

  /// - Parameter context: tokens of a sequence; attention looks at half of them on average.
  init(_ model: ModelConfiguration, context: Int) {
    let attention = Double(model.numAttentionHeads * (model.qkHeadDim + model.vHeadDim)) * Double(context) / 2
    let cost = { (layer: Int) in
      Double(ParameterCount.active(layer: layer, of: model)) + attention
    }
    layers = (0..<model.numHiddenLayers).map(cost)
    let head = Double(model.vocabSize * model.hiddenSize)
    let module = 2 * Double(model.hiddenSize * model.hiddenSize) + cost(model.numHiddenLayers) + head
    end = head + Double(model.numNextnPredictLayers) * module
  }
}

/// Reads the text of a layout into its letters and bars.
private struct LayoutParser {
  private let text: String
  private var rest: Substring

  /// More parts than this are no model, but a slip of the pen.
  private static let most = 10_000

  init(_ text: String) { (self.text, rest) = (text, text[...]) }

  mutating func parse() throws(StageLayout.Fault) -> [Character] {
    let parts = try sequence(inside: false)
    guard rest.isEmpty else { throw fault("')' without '('") }
    return parts
  }

  private mutating func sequence(inside: Bool) throws(StageLayout.Fault) -> [Character] {
    var parts: [Character] = []
    while let next = rest.first, next != ")" {
      rest.removeFirst()
      var item: [Character]
      switch next {
      case "E", "t", "L", "|": item = [next]
      case " ": continue
      case "(":
        item = try sequence(inside: true)
        guard rest.first == ")" else { throw fault("'(' without ')'") }
        rest.removeFirst()
      default: throw fault("'\(next)' is none of E, t, L, |, (, ), *")
      }
      if rest.first == "*" {
        rest.removeFirst()
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        rest.removeFirst(digits.count)
        guard let count = Int(digits), 1...Self.most ~= count, count * item.count <= Self.most else {
          throw fault("after * must stand how many, 1 to \(Self.most)")
        }
        item = (0..<count).flatMap { _ in item }
      }
      parts += item
      guard parts.count <= Self.most else { throw fault("more than \(Self.most) parts") }
    }
    return parts
  }

  private func fault(_ what: String) -> StageLayout.Fault {
    StageLayout.Fault(description: "\(text): column \(text.count - rest.count): \(what)")
  }
}
