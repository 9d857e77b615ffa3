package import Communication

/// What the ranks sent each other in a step, and how long they had nothing to do but wait for it.
package struct StepTraffic: Hashable, Sendable {
  /// Seconds in waits that nothing was computed in, of the rank that waited longest.
  package var exposedSeconds = 0.0
  /// The same by what was waited for, each of the rank that waited longest for it; kinds without any are left out.
  package var exposedSecondsByKind: [MessageKind: Double] = [:]
  /// Bytes that all ranks sent, by kind of message; kinds without any are left out.
  package var sentBytes: [MessageKind: Int] = [:]

  package init() {}

  var fields: [MetricField] {
    [MetricField("exposed_communication_seconds", .number(exposedSeconds))]
      + MessageKind.allCases.compactMap { kind in
        exposedSecondsByKind[kind].map { MetricField("exposed_seconds_\(kind)", .number($0)) }
      }
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
    let kinds = MessageKind.allCases
    let seconds = reduce([own.exposedSeconds] + kinds.map { own.exposed[$0] ?? 0 }, .maximum)
    traffic.exposedSeconds = seconds[0]
    for (kind, time) in zip(kinds, seconds.dropFirst()) where time > 0 {
      traffic.exposedSecondsByKind[kind] = time
    }
    let bytes = sum(kinds.map { own.sent($0).bytes })
    for (kind, count) in zip(kinds, bytes) where count > 0 { traffic.sentBytes[kind] = count }
    return traffic
  }
}
