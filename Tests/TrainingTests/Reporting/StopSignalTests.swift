import Foundation
import Glibc
import Testing
import Training

/// Signals concern a whole process, so each case has one of its own.
@Suite struct StopSignalTests {
  @Test(arguments: [StopSignal.Signal.interrupt, .terminate, .user1])
  func numbers(signal: StopSignal.Signal) {
    let expected: [StopSignal.Signal: Int32] = [.interrupt: SIGINT, .terminate: SIGTERM, .user1: SIGUSR1]
    #expect(signal.number == expected[signal])
  }

  @Test func eachSignalIsCaught() async {
    for signal in StopSignal.Signal.allCases {
      await #expect(processExitsWith: .success) { [number = signal.number as Int32] in
        let stop = StopSignal()
        #expect(stop.requested == nil)
        kill(getpid(), number)
        wait { stop.requested != nil }
        #expect(stop.requested?.number == number)
      }
    }
  }

  /// As `timeout` sends them: the process, then its group.
  @Test func repeatedSignalsAreOne() async {
    for signal in StopSignal.Signal.allCases {
      await #expect(processExitsWith: .success) { [number = signal.number as Int32] in
        let stop = StopSignal()
        let command = String(repeating: "kill -\(number) \(getpid()); ", count: 5)
        // From outside, because this thread may be the one that runs the handler.
        let sender = try Process.run(URL(fileURLWithPath: "/bin/sh"), arguments: ["-c", command])
        sender.waitUntilExit()
        usleep(500_000)
        #expect(stop.requested?.number == number)
      }
    }
  }

  @Test func laterSIGTERMIsIgnored() async {
    await #expect(processExitsWith: .success) {
      let stop = StopSignal()
      kill(getpid(), SIGTERM)
      wait { stop.requested != nil }
      for _ in 0..<3 {
        usleep(300_000)
        kill(getpid(), SIGTERM)
      }
      usleep(100_000)
      #expect(stop.requested == .terminate)
    }
  }

  @Test func secondSIGINTEndsTheProcess() async {
    await #expect(processExitsWith: .signal(SIGINT)) {
      let stop = StopSignal()
      kill(getpid(), SIGINT)
      wait { stop.requested == .interrupt }
      usleep(500_000)
      kill(getpid(), SIGINT)
      usleep(5_000_000)
    }
  }

  @Test func inheritedIgnoredSIGINTIsCaught() async {
    await #expect(processExitsWith: .success) {
      signal(SIGINT, SIG_IGN)
      let stop = StopSignal()
      #expect(stop.requested == nil)
      kill(getpid(), SIGINT)
      wait { stop.requested == .interrupt }
    }
  }

  @Test func handlersAreRestored() async {
    await #expect(processExitsWith: .signal(SIGTERM)) {
      signal(SIGUSR1, SIG_IGN)
      do {
        let stop = StopSignal()
        kill(getpid(), SIGTERM)
        kill(getpid(), SIGUSR1)
        wait { stop.requested == .terminate }
      }
      kill(getpid(), SIGUSR1)  // ignored, as before
      usleep(200_000)
      kill(getpid(), SIGTERM)  // default, as before
      usleep(5_000_000)
    }
  }

  /// An interrupted system call goes on: other code need not know of the handlers.
  @Test func interruptedReadGoesOn() async {
    await #expect(processExitsWith: .success) {
      var ends: [Int32] = [0, 0]
      try #require(pipe(&ends) == 0)
      let stop = StopSignal()
      var signals = sigset_t()
      sigaddset(&signals, SIGUSR1)
      pthread_sigmask(SIG_UNBLOCK, &signals, nil)  // a test's thread may have it blocked
      let (reader, output) = (pthread_self(), ends[1])
      Thread.detachNewThread {
        usleep(200_000)
        pthread_kill(reader, SIGUSR1)
        usleep(200_000)
        write(output, "x", 1)
      }
      var byte: UInt8 = 0
      #expect(read(ends[0], &byte, 1) == 1)
      #expect(stop.requested == .user1)
    }
  }
}

/// Waits until `condition` holds, 5 s at most.
private func wait(until condition: () -> Bool) {
  for _ in 0..<5000 where !condition() { usleep(1000) }
}
