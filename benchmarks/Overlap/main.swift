import Communication
import Foundation

// How much of an exchange is hidden behind computation that does not call MPI: every rank sends as many bytes to every
// other, computes for about as long as that takes alone, and waits for the rest. docs/distributed.md has results.
//   overlap-bench [--bytes N] [--chunk N] [--motor MICROSECONDS|off] [--poll MICROSECONDS] [--repeats N]

let arguments = try Arguments(CommandLine.arguments.dropFirst())
let world = try World.open(
  World.Settings(timeout: 120, largestChunk: arguments.chunk, motorInterval: arguments.motor))
do {
  let line = try Bench(world.communicator, arguments).run()
  if world.communicator.rank == 0 { print(line) }
  try world.close()
} catch {
  world.communicator.endJob(error)
}

struct Arguments {
  var bytes = 16 << 20
  var chunk: Int?
  var motor: Double? = World.Settings().motorInterval
  /// Seconds between two calls of `poll` while computing; nil: none.
  var poll: Double?
  var repeats = 5

  init(_ words: some Sequence<String>) throws {
    var words = words.makeIterator()
    while let option = words.next() {
      guard let word = words.next() else { throw Fault(text: "\(option) needs a value") }
      switch (option, Int(word)) {
      case ("--bytes", let number?): bytes = number
      case ("--chunk", let number?): chunk = number
      case ("--motor", nil) where word == "off": motor = nil
      case ("--motor", let number?): motor = Double(number) * 1e-6
      case ("--poll", let number?): poll = Double(number) * 1e-6
      case ("--repeats", let number?): repeats = number
      default: throw Fault(text: "\(option) \(word) is not understood")
      }
    }
  }
}

struct Fault: Error, CustomStringConvertible {
  let text: String
  var description: String { text }
}

/// Memory that requests keep.
final class Memory {
  let bytes: UnsafeMutableRawBufferPointer
  init(count: Int) {
    bytes = .allocate(byteCount: count, alignment: 4096)
    bytes.initializeMemory(as: UInt8.self, repeating: 1)
  }
  deinit { bytes.deallocate() }
}

struct Bench {
  let all: Communicator
  let arguments: Arguments
  private let sent: Memory
  private let received: Memory

  init(_ all: Communicator, _ arguments: Arguments) {
    (self.all, self.arguments) = (all, arguments)
    sent = Memory(count: arguments.bytes)
    received = Memory(count: arguments.bytes * all.size)
  }

  func run() throws -> String {
    _ = try unhidden()
    let alone = try median { try unhidden() }
    // What another process takes from this one's processors must not look like hiding: computation lasts a given
    // time, and what counts is how long is waited after it.
    let exposed = try median { try rest(computing: alone) }
    var line = "motor \(words(arguments.motor)), poll \(words(arguments.poll)), "
    line += "\(arguments.bytes) bytes to each of \(all.size - 1): alone \(milliseconds(alone))"
    line += String(format: " (%.1f MB/s a rank)", Double(arguments.bytes * (all.size - 1)) / alone / 1e6)
    line += ", after as much computation still \(milliseconds(exposed))"
    line += String(format: ": %.0f %% hidden", 100 * (1 - exposed / alone))
    let cost = try median { try motorCost(computing: alone) }
    return line + ", other threads took \(milliseconds(cost)) of processor time"
  }

  private func milliseconds(_ seconds: Double) -> String { String(format: "%.1f ms", seconds * 1e3) }
  private func words(_ seconds: Double?) -> String { seconds.map { "\(Int($0 * 1e6 + 0.5)) µs" } ?? "off" }

  private func unhidden() throws -> Double {
    let start = ContinuousClock.now
    try waitAll(try exchange())
    return Self.seconds(since: start)
  }

  private func rest(computing seconds: Double) throws -> Double {
    let requests = try exchange()
    try compute(seconds)
    let start = ContinuousClock.now
    try waitAll(requests)
    return Self.seconds(since: start)
  }

  /// Processor time of all threads but this one while this one computes.
  private func motorCost(computing seconds: Double) throws -> Double {
    let requests = try exchange()
    let before = (Self.clock(CLOCK_PROCESS_CPUTIME_ID), Self.clock(CLOCK_THREAD_CPUTIME_ID))
    try compute(seconds)
    let after = (Self.clock(CLOCK_PROCESS_CPUTIME_ID), Self.clock(CLOCK_THREAD_CPUTIME_ID))
    try waitAll(requests)
    return (after.0 - before.0) - (after.1 - before.1)
  }

  private func exchange() throws -> [Request] {
    let purpose = Purpose("overlap", .dispatch)
    var requests: [Request] = []
    for step in 1..<all.size {
      let source = (all.rank + all.size - step) % all.size
      let start = source * arguments.bytes
      let room = UnsafeMutableRawBufferPointer(rebasing: received.bytes[start..<start + arguments.bytes])
      requests.append(try all.receive(room, from: source, tag: 0, owner: received, purpose))
    }
    for step in 1..<all.size {
      let message = UnsafeRawBufferPointer(sent.bytes)
      requests.append(try all.send(message, to: (all.rank + step) % all.size, tag: 0, owner: sent, purpose))
    }
    return requests
  }

  /// Arithmetic in registers for so long, with a poll now and then where asked for.
  private func compute(_ seconds: Double) throws {
    let start = ContinuousClock.now
    var (value, polled) = (1.0, 0.0)
    while Self.seconds(since: start) < seconds {
      for _ in 0..<5000 { value = value * 1.000_000_1 + 1e-9 }
      let now = Self.seconds(since: start)
      if let poll = arguments.poll, now - polled >= poll {
        try all.poll()
        polled = now
      }
    }
    precondition(value > 0, "a sum of \(value)")
  }

  /// The slowest rank's time, in the middle of some.
  private func median(_ body: () throws -> Double) throws -> Double {
    let times = try (0..<arguments.repeats).map { _ in
      try all.barrier()
      return try all.allReduce([try body()], .maximum)[0]
    }
    return times.sorted()[arguments.repeats / 2]
  }

  private static func seconds(since start: ContinuousClock.Instant) -> Double {
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    return Double(seconds) + Double(attoseconds) * 1e-18
  }

  private static func clock(_ which: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(which, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
