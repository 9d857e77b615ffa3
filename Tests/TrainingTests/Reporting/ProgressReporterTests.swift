import Glibc
import Testing
import Training

/// Both kinds of output that a reporter knows, for real.
@Suite struct ProgressReporterTests {
  private func read(_ descriptor: Int32) -> String {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
  }

  @Test func pipeGetsWholeLinesAtIntervals() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer {
      close(ends[0])
      close(ends[1])
    }
    let reporter = ProgressReporter(descriptor: ends[1], steps: 25, interval: 10, bytesPerToken: nil)
    for step in 3...25 {
      reporter.update(.sample(step: step))
      if step == 12 { reporter.note("evaluation") }
    }
    reporter.finish()
    let text = read(ends[0])
    let starts = text.split(separator: "\n").map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
    #expect(starts == ["step 3/25", "step 10/25", "evaluation", "step 20/25", "step 25/25"])
    #expect(text.hasSuffix("\n"))
    #expect(text.utf8.allSatisfy { $0 == 0x0a || (0x20..<0x7f).contains($0) })
    #expect(!text.contains("bits/byte"))
  }

  @Test func noListener() throws {
    let reporter = ProgressReporter(descriptor: -1, steps: 2, interval: 1, bytesPerToken: nil)
    reporter.update(.sample(step: 1))
    reporter.note("still here")
  }

  /// A pseudo-terminal of `columns`; `TERM` is a matter of the process, so a process of its own.
  @Test func terminalLineIsRewritten() async {
    await #expect(processExitsWith: .success) {
      setenv("TERM", "xterm", 1)
      let (main, terminal) = try openTerminal(columns: 58)
      let reporter = ProgressReporter(descriptor: terminal, steps: 9, interval: 5, bytesPerToken: 4)
      reporter.update(.sample(step: 1))
      reporter.update(.sample(step: 2))
      reporter.note("evaluation")
      reporter.finish()
      reporter.finish()
      let erase = "\r\u{1B}[K"
      // 2.5 nats a token of 4 bytes are 0.902 bits a byte.
      func shown(_ step: Int) -> String { "\(erase)step \(step)/9  loss 3.2500  bits/byte 0.902  left " }
      var text = ""
      while !text.hasSuffix("\r\n") || text.filter({ $0 == "\r\n" }).count < 2 { text += take(main) }
      // What is left of the time depends on the clock.
      let parts = text.split(separator: erase, omittingEmptySubsequences: false).map(String.init)
      try #require(parts.count == 5, "\(parts)")
      #expect(parts[0] == "")
      #expect((erase + parts[1]).hasPrefix(shown(1)))
      #expect((erase + parts[2]).hasPrefix(shown(2)))
      #expect(parts[3] == "evaluation\r\n")
      #expect((erase + parts[4]).hasPrefix(shown(2)) && parts[4].hasSuffix("\r\n"))
      #expect(parts.allSatisfy { $0.utf8.count <= 57 + 2 })
    }
  }

  @Test func dumbTerminalGetsPlainLines() async {
    await #expect(processExitsWith: .success) {
      setenv("TERM", "dumb", 1)
      let (main, terminal) = try openTerminal(columns: 20)
      let reporter = ProgressReporter(descriptor: terminal, steps: 9, interval: 5, bytesPerToken: nil)
      reporter.update(.sample(step: 1))
      reporter.update(.sample(step: 2))
      reporter.note("end")
      var text = ""
      while !text.hasSuffix("end\r\n") { text += take(main) }
      #expect(!text.contains("\u{1B}"))
      #expect(text.hasPrefix("step 1/9  loss 3.2500  tokens/s 4096") && !text.contains("step 2"))
    }
  }
}

/// Both sides of a new pseudo-terminal.
private func openTerminal(columns: UInt16) throws -> (main: Int32, terminal: Int32) {
  var (main, terminal): (Int32, Int32) = (-1, -1)
  var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
  try #require(openpty(&main, &terminal, nil, nil, &size) == 0)
  return (main, terminal)
}

private func take(_ descriptor: Int32) -> String {
  var buffer = [UInt8](repeating: 0, count: 4096)
  let count = Glibc.read(descriptor, &buffer, buffer.count)
  return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
}
