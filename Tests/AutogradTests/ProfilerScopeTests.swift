import Tensors
import Testing

@testable import Autograd

/// The tape tells the profiler which operation runs, and which part of it.
struct ProfilerScopeTests {
  /// `y = x`, which notes under which name its kernels would be recorded.
  private enum Noting: Operation {
    final class Notes { var scopes: [String] = [] }

    typealias Inputs = (x: Variable, notes: Notes)
    static let name = "noting"

    static func variables(_ inputs: Inputs) -> [Variable] { [inputs.x] }

    static func forward(_ inputs: Inputs, recording: Bool) -> (output: Tensor, saved: Void) {
      note(inputs)
      return (inputs.x.value.copied(), ())
    }

    static func inputGradient(
      _ dy: Tensor, _ inputs: Inputs, _ saved: Void
    ) -> (gradients: [Tensor], carried: Void) {
      note(inputs)
      return ([dy.copied()], ())
    }

    static func weightGradient(_ dy: Tensor, _ inputs: Inputs, _ saved: Void, _ carried: Void) {
      note(inputs)
    }

    private static func note(_ inputs: Inputs) {
      inputs.notes.scopes.append(inputs.x.value.device.profiler?.scope ?? "none")
    }
  }

  private func scopes(_ profiler: Profiler?, deferring: Bool) throws -> [String] {
    let (device, notes) = (try Device(threads: 1), Noting.Notes())
    device.profiler = profiler
    let (tape, x) = (Tape(on: device), Variable(Tensor([1], [1 as Float], on: device)))
    let first = tape.apply(Noting.self, (x, notes)).output
    let second = tape.apply(Addition.self, (first, x)).output
    let owed = tape.backward(
      from: [(second, Tensor([1], [1 as Float], on: device))], deferring: deferring)
    profiler?.scope = "something else"
    for work in owed { work.run() }
    return notes.scopes
  }

  @Test(arguments: [false, true])
  func eachPartHasItsName(deferring: Bool) throws {
    let scopes = try scopes(Profiler(), deferring: deferring)
    #expect(scopes == ["noting · forward", "noting · input gradient", "noting · weight gradient"])
  }

  @Test func nothingIsNamedWithoutAProfiler() throws {
    #expect(try scopes(nil, deferring: false) == ["none", "none", "none"])
  }
}
