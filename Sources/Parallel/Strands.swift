internal import Foundation

/// Two strands of one rank, of which exactly one computes at any time: when it would wait for a message, it hands the
/// baton to the other, whose work hides the message's travel.
///
/// The hand-over is at fixed points of the code, whether or not the message has come, so every rank posts its messages
/// in the same order, and a run is repeatable. Both strands are threads, so that the code of a model stays
/// straight-line; semaphores between them order all they do. Source: DeepSeek-V3, arXiv:2412.19437, §3.2.1.
package final class Strands {
  private enum Strand { case first, second }

  private let (firstMayGo, secondMayGo) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
  /// Who has the baton; nil where there is only one strand, since the other has not begun or is done.
  private var holder: Strand?

  package init() {}

  /// Whether the other strand has begun and has not ended.
  var areTwo: Bool { holder != nil }

  /// Runs both to their ends, the first one first, on this thread; the other one on a thread that may run on the same
  /// processors.
  package func run(_ first: () -> Void, beside second: () -> Void) {
    precondition(holder == nil, "two strands inside of two strands")
    withoutActuallyEscaping(second) { second in
      withUnsafePointer(to: second) { run(first, beside: Body(run: $0, strands: self)) }
    }
  }

  private func run(_ first: () -> Void, beside second: Body) {
    let thread = Thread { second.strands.runSecond(second) }
    thread.name = "hadal-strand"
    thread.stackSize = 64 << 20
    holder = .first
    thread.start()
    first()
    if holder != nil {
      // The other has not ended: it goes on alone.
      holder = nil
      secondMayGo.signal()
    }
    firstMayGo.wait()
  }

  /// Lets the other strand compute until it hands over in turn; returns at once where there is none.
  func handOver() {
    switch holder {
    case .first:
      holder = .second
      secondMayGo.signal()
      firstMayGo.wait()
    case .second:
      holder = .first
      firstMayGo.signal()
      secondMayGo.wait()
    case nil: break
    }
  }

  private func runSecond(_ body: Body) {
    secondMayGo.wait()
    body.run.pointee()
    if holder == nil {
      // The first strand has ended, and waits for this one.
      firstMayGo.signal()
    } else {
      holder = nil
      firstMayGo.signal()  // it goes on from its hand-over
      firstMayGo.signal()  // it need not wait at its end
    }
  }
}

/// What a strand's thread runs.
///
/// `@unchecked Sendable`: the closure is borrowed for as long as `run` lasts, and the semaphores let one strand at a
/// time touch what both of them use. A pointer, so that the thread, which ends a moment later, does not own it.
private struct Body: @unchecked Sendable {
  let run: UnsafePointer<() -> Void>
  let strands: Strands
}
