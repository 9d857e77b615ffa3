/// A binary heap: the event with the least time comes first; of equal times, the one that was added first.
struct EventQueue<Payload> {
  private struct Event {
    var time: Double
    var number: Int
    var payload: Payload

    func isBefore(_ other: Event) -> Bool {
      time != other.time ? time < other.time : number < other.number
    }
  }

  private var events: [Event] = []
  private var added = 0

  var firstTime: Double? { events.first?.time }

  mutating func add(_ payload: Payload, at time: Double) {
    events.append(Event(time: time, number: added, payload: payload))
    added += 1
    var child = events.count - 1
    while child > 0, events[child].isBefore(events[(child - 1) / 2]) {
      events.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  /// The queue must not be empty.
  mutating func removeFirst() -> Payload {
    precondition(!events.isEmpty, "an empty queue after \(added) events")
    events.swapAt(0, events.count - 1)
    let first = events.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < events.count {
        if events[child].isBefore(events[least]) { least = child }
      }
      if least == parent { return first.payload }
      events.swapAt(parent, least)
      parent = least
    }
  }
}
