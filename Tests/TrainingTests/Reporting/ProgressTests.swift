import Testing

@testable import Training

@Suite struct ProgressTests {
  private let line = ProgressLine(
    step: 1200, steps: 5000, loss: 3.21412, bitsPerByte: 2.3117, tokensPerSecond: 12345.6,
    learningRate: 3e-4, secondsLeft: 724, peakMemoryBytes: 1_834_000_000)

  @Test func wholeLine() {
    #expect(
      line.text()
        == "step 1200/5000  loss 3.2141  bits/byte 2.312  tokens/s 12346  lr 3.00e-04  left 12m04s"
        + "  memory 1.83 GB")
  }

  /// The least needed part goes first; what does not fit at all is cut.
  @Test(arguments: [
    (101, "step 1200/5000  loss 3.2141  bits/byte 2.312  tokens/s 12346  lr 3.00e-04  left 12m04s"),
    (86, "step 1200/5000  loss 3.2141  bits/byte 2.312  tokens/s 12346  lr 3.00e-04  left 12m04s"),
    (85, "step 1200/5000  loss 3.2141  bits/byte 2.312  tokens/s 12346  left 12m04s"),
    (60, "step 1200/5000  loss 3.2141  bits/byte 2.312  left 12m04s"),
    (45, "step 1200/5000  loss 3.2141  left 12m04s"), (39, "step 1200/5000  loss 3.2141"),
    (20, "step 1200/5000"), (9, "step 1200"), (0, ""), (-1, ""),
  ])
  func narrowTerminal(width: Int, expected: String) {
    #expect(line.text(width: width) == expected)
  }

  @Test func unknownQuantitiesAreLeftOut() {
    var line = line
    (line.bitsPerByte, line.secondsLeft, line.loss) = (nil, nil, .nan)
    #expect(
      line.text() == "step 1200/5000  loss nan  tokens/s 12346  lr 3.00e-04  memory 1.83 GB")
  }

  @Test(arguments: [
    (0.0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599, "59m59s"), (3599.7, "1h00m"), (3661, "1h01m"),
    (360_000, "100h00m"), (.infinity, "unknown"), (.nan, "unknown"), (-1, "unknown"), (1e300, "unknown"),
  ])
  func times(seconds: Double, expected: String) {
    #expect(ProgressText.time(seconds: seconds) == expected)
  }

  @Test(arguments: [(0, "0 MB"), (512_400_000, "512 MB"), (2_750_000_000, "2.75 GB")])
  func memory(bytes: Int, expected: String) {
    #expect(ProgressText.memory(bytes: bytes) == expected)
  }

  @Test func evenPace() {
    var pace = StepPace()
    #expect(pace.secondsLeft(steps: 10) == nil)
    for step in 1...50 {
      pace.add(seconds: 2, end: 100 + 2 * Double(step))
      #expect(abs(pace.secondsLeft(steps: 10)! - 20) < 1e-9, "after step \(step)")
    }
  }

  /// An evaluation of 30 s after every tenth step of 1 s: 4 s a step, whatever the start took.
  @Test func timeBetweenStepsCounts() {
    var pace = StepPace()
    var now = 1000.0
    for step in 0..<101 {
      now += 1
      pace.add(seconds: 1, end: now)
      if step.isMultiple(of: 10) { now += 30 }
    }
    #expect(abs(pace.secondsLeft(steps: 100)! - 400) < 1e-6)
  }

  @Test func slowerStepsAreNoticed() {
    var pace = StepPace()
    var now = 0.0
    for step in 0..<300 {
      let seconds = step < 200 ? 1.0 : 3.0
      now += seconds
      pace.add(seconds: seconds, end: now)
    }
    let left = pace.secondsLeft(steps: 1)!
    #expect(left > 2.95 && left <= 3, "\(left) s a step")
  }
}
