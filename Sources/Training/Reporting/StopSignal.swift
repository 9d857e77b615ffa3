internal import Glibc

/// Catches the signals that ask this process to stop, for as long as the value lives.
///
/// A loop polls `requested` between steps. The memory of a signal is its disposition in the system, which
/// its handler changes: no variable is shared with a handler, and handlers make only calls that POSIX
/// allows there.
/// - After a first SIGINT, a second one ends the process at once, so that nobody is stuck in a long step.
/// - After a first SIGTERM or SIGUSR1, more of the same are ignored.
///
/// A signal that was ignored before is caught as well: a shell script starts its background jobs with SIGINT
/// ignored, and `kill -INT` is meant all the same. One value at a time; `deinit` restores what was before.
package struct StopSignal: ~Copyable {
  /// Why a process is to stop.
  package enum Signal: CaseIterable, Sendable, CustomStringConvertible {
    /// Ctrl-C.
    case interrupt
    /// `kill`, and what schedulers send first.
    case terminate
    /// What a scheduler can be told to send some time before the end of a job.
    case user1

    /// As the system knows it.
    package var number: Int32 {
      switch self {
      case .interrupt: SIGINT
      case .terminate: SIGTERM
      case .user1: SIGUSR1
      }
    }

    package var description: String {
      switch self {
      case .interrupt: "SIGINT"
      case .terminate: "SIGTERM"
      case .user1: "SIGUSR1"
      }
    }
  }

  /// What was before, in the order of `Signal.allCases`.
  private let previous: [sigaction]

  package init() {
    // A process that a thread with blocked signals started has them blocked too; threads inherit this from us.
    var caught = sigset_t()
    sigemptyset(&caught)
    for signal in Signal.allCases { sigaddset(&caught, signal.number) }
    pthread_sigmask(SIG_UNBLOCK, &caught, nil)
    previous = Signal.allCases.map { signal in
      var action = sigaction()
      switch signal {
      case .interrupt: action.__sigaction_handler.sa_handler = armDefault
      case .terminate, .user1: action.__sigaction_handler.sa_handler = ignoreMore
      }
      // Calls that a signal interrupts go on by themselves.
      action.sa_flags = SA_RESTART
      return StopSignal.exchange(signal, &action)
    }
  }

  deinit {
    for (signal, action) in zip(Signal.allCases, previous) {
      var action = action
      _ = StopSignal.exchange(signal, &action)
    }
  }

  /// The signal that has come; of several, the first in the order of `Signal`. nil while there is none.
  package var requested: Signal? {
    Signal.allCases.first { signal in
      let handler = StopSignal.exchange(signal, nil).__sigaction_handler.sa_handler
      // Compared as addresses: SIG_DFL is 0, SIG_IGN 1, our handlers are neither.
      return unsafeBitCast(handler, to: UInt.self) <= 1
    }
  }

  /// Sets an action, or none, and returns the one that was there.
  private static func exchange(_ signal: Signal, _ action: UnsafePointer<sigaction>?) -> sigaction {
    var old = sigaction()
    let result = sigaction(signal.number, action, &old)
    precondition(result == 0, "sigaction of \(signal) failed with errno \(errno)")
    return old
  }
}

/// Handler of SIGINT: the next one has the default action.
///
/// What sends one Ctrl-C twice (`timeout` signals the process, then its group) does so within microseconds,
/// and a person does not: a repetition within 0.2 s is ignored.
private func armDefault(_ number: Int32) {
  let code = errno
  signal(number, SIG_IGN)
  var pause = timespec(tv_sec: 0, tv_nsec: 200_000_000)
  nanosleep(&pause, nil)
  // Linux keeps a signal that is blocked, as this one is in its handler, even when it is ignored. To ignore
  // it once more discards it.
  signal(number, SIG_IGN)
  signal(number, SIG_DFL)
  errno = code
}

/// Handler of the other signals: more of them are ignored.
private func ignoreMore(_ number: Int32) {
  let code = errno
  signal(number, SIG_IGN)
  errno = code
}
