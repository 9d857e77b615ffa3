/// What a rank has sent, and how long it had nothing to do but wait. A message to itself is not counted.
package struct TrafficCounters: Hashable, Sendable {
  package struct Count: Hashable, Sendable {
    package var messages = 0
    package var bytes = 0

    package init(messages: Int = 0, bytes: Int = 0) { (self.messages, self.bytes) = (messages, bytes) }
  }

  /// Sent to ranks of the same node.
  package private(set) var withinNode: [MessageKind: Count] = [:]
  /// Sent to ranks of other nodes.
  package private(set) var betweenNodes: [MessageKind: Count] = [:]
  /// Seconds in waits that nothing was computed in, by what was waited for first.
  package private(set) var exposed: [MessageKind: Double] = [:]

  package init() {}

  /// Sent to other ranks, wherever they are.
  package func sent(_ kind: MessageKind) -> Count {
    let (near, far) = (withinNode[kind] ?? Count(), betweenNodes[kind] ?? Count())
    return Count(messages: near.messages + far.messages, bytes: near.bytes + far.bytes)
  }

  mutating func count(_ kind: MessageKind, bytes: Int, withinNode isNear: Bool) {
    let path = isNear ? \TrafficCounters.withinNode : \TrafficCounters.betweenNodes
    self[keyPath: path][kind, default: Count()].messages += 1
    self[keyPath: path][kind, default: Count()].bytes += bytes
  }

  /// Seconds in waits that nothing was computed in.
  package var exposedSeconds: Double { MessageKind.allCases.reduce(0) { $0 + (exposed[$1] ?? 0) } }

  mutating func addExposed(_ kind: MessageKind, seconds: Double) { exposed[kind, default: 0] += seconds }

  /// What has been added since `earlier`.
  package func since(_ earlier: TrafficCounters) -> TrafficCounters {
    var difference = TrafficCounters()
    difference.withinNode = Self.subtract(earlier.withinNode, from: withinNode)
    difference.betweenNodes = Self.subtract(earlier.betweenNodes, from: betweenNodes)
    difference.exposed = exposed.merging(earlier.exposed) { $0 - $1 }
    return difference
  }

  private static func subtract(
    _ earlier: [MessageKind: Count], from later: [MessageKind: Count]
  ) -> [MessageKind: Count] {
    later.merging(earlier) {
      Count(messages: $0.messages - $1.messages, bytes: $0.bytes - $1.bytes)
    }
  }
}
