/// A number for each stage, or one for all.
package struct PerStage: Hashable, Sendable, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral {
  /// One value, or as many as there are stages.
  package let values: [Double]

  package init(_ value: Double) { values = [value] }

  package init(_ values: [Double]) { self.values = values }

  package init(floatLiteral value: Double) { self.init(value) }

  package init(integerLiteral value: Int) { self.init(Double(value)) }

  package subscript(stage: Int) -> Double { values.count == 1 ? values[0] : values[stage] }
}

/// What a message costs between two ranks, in one direction.
package struct Link: Hashable, Sendable {
  /// From the last byte sent to the arrival, in seconds.
  package var latency: Double
  /// Bytes per second; infinite where bytes cost nothing.
  package var bandwidth: Double

  package init(latency: Double = 0, bandwidth: Double = .infinity) {
    (self.latency, self.bandwidth) = (latency, bandwidth)
  }

  /// Names a link; the way back is another one.
  package struct Ends: Hashable, Sendable {
    package var from, to: Int

    package init(from: Int, to: Int) { (self.from, self.to) = (from, to) }
  }
}

/// What the simulator needs to know of a machine and a model. Times are in seconds.
package struct Costs: Hashable, Sendable {
  /// Of each stage, for one micro-batch. A whole backward takes the sum of the two gradients.
  package var forward, inputGradient, weightGradient: PerStage
  /// An overlapped pair, by the stage of its forward; nil where it takes as long as both one after the other.
  package var overlapped: PerStage?
  /// Bytes of an activation, or of its gradient, between two stages.
  package var messageBytes: Double = 0
  /// Links that are not in ``links``.
  package var link = Link()
  package var links: [Link.Ends: Link] = [:]
  /// Processors that all ranks share: more ranks than that, computing at once, slow each other down evenly.
  /// Nil where each rank has its own.
  package var processors: Int?
  /// What a forward keeps for its backward, in bytes.
  package var activationBytes: PerStage = 0

  package init(
    forward: PerStage = 1, inputGradient: PerStage = 1, weightGradient: PerStage = 1,
    overlapped: PerStage? = nil
  ) {
    (self.forward, self.inputGradient, self.weightGradient) = (forward, inputGradient, weightGradient)
    self.overlapped = overlapped
  }

  /// How long the action takes if it has a processor.
  package func seconds(_ action: Action, on rank: Int, in placement: Placement) -> Double {
    func stage(_ cell: Cell) -> Int { placement.stage(at: Place(rank: rank, slot: cell.slot)) }
    func backward(_ cell: Cell) -> Double { inputGradient[stage(cell)] + weightGradient[stage(cell)] }
    return switch action {
    case .forward(let cell): forward[stage(cell)]
    case .backward(let cell): backward(cell)
    case .inputGradient(let cell): inputGradient[stage(cell)]
    case .weightGradient(let cell): weightGradient[stage(cell)]
    case .overlapped(let ahead, let back):
      overlapped.map { $0[stage(ahead)] } ?? forward[stage(ahead)] + backward(back)
    }
  }

  /// What cannot be simulated; nil if nothing.
  func fault(stages: Int, ranks: Int) -> String? {
    let perStage: [(String, PerStage?)] = [
      ("forward", forward), ("input gradient", inputGradient), ("weight gradient", weightGradient),
      ("overlapped pair", overlapped), ("activation bytes", activationBytes),
    ]
    for (name, values) in perStage {
      guard let values = values?.values else { continue }
      if values.count != 1, values.count != stages {
        return "\(name): \(values.count) values for \(stages) stages; give one, or one a stage"
      }
      if let value = values.first(where: { !Self.isCost($0) }) { return Self.badNumber(name, value) }
    }
    for link in [link] + Array(links.values) {
      if !Self.isCost(link.latency) { return Self.badNumber("latency", link.latency) }
      if !(link.bandwidth > 0) { return "bandwidth \(link.bandwidth): must be greater than 0" }
    }
    for ends in links.keys where !(0..<ranks ~= ends.from && 0..<ranks ~= ends.to) {
      return "a link from rank \(ends.from) to \(ends.to): there are \(ranks) ranks"
    }
    if !Self.isCost(messageBytes) { return Self.badNumber("message bytes", messageBytes) }
    if let processors, processors < 1 { return "\(processors) processors: there must be at least 1" }
    return nil
  }

  private static func isCost(_ value: Double) -> Bool { value >= 0 && value.isFinite }

  private static func badNumber(_ name: String, _ value: Double) -> String {
    "\(name) \(value): must be a number that is not negative"
  }
}
