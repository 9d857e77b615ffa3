package import Communication

/// What the ranks sent each other in a step, and how long they had nothing to do but wait for it.
package struct StepTraffic: Hashable, Sendable {
  /// Seconds in waits that nothing was computed in, of the rank that waited longest.
  package var exposedSeconds = 0.0
  /// Bytes that all ranks sent, by kind of message; kinds without any are left out.
  package var sentBytes: [MessageKind: Int] = [:]

  package init() {}

  var fields: [MetricField] {
    [MetricField("exposed_communication_seconds", .number(exposedSeconds))]
      + MessageKind.allCases.compactMap { kind in
        sentBytes[kind].map { MetricField("sent_bytes_\(kind)", .integer($0)) }
      }
  }
}

extension TrainingRanks {
  /// What all ranks have sent since `earlier`, which each of them noted at the same point.
  func traffic(since earlier: TrafficCounters) -> StepTraffic {
    let own = grid.world.counters.since(earlier)
    var traffic = StepTraffic()
    traffic.exposedSeconds = reduce([own.exposedSeconds], .maximum)[0]
    let bytes = sum(MessageKind.allCases.map { own.sent($0).bytes })
    for (kind, count) in zip(MessageKind.allCases, bytes) where count > 0 { traffic.sentBytes[kind] = count }
    return traffic
  }
}
