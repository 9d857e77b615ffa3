/// Time, where tasks share processors evenly: n tasks on p processors each run at the speed min(1, p / n).
///
/// All tasks run equally fast, so one measure of work done since the beginning serves them all: a task that
/// begins at work w and costs c ends at work w + c, whatever joins or leaves in between.
struct SharedClock {
  private(set) var time = 0.0
  /// Work that a task would have done that has always been running.
  private(set) var work = 0.0
  private let processors: Int?
  private var speed = 1.0
  /// `time - work`, while the speed is 1: times are then exact sums of costs.
  private var lead = 0.0

  init(processors: Int?) { self.processors = processors }

  /// From now on, as many tasks run.
  mutating func setTasks(_ count: Int) {
    guard let processors else { return }
    let speed = count > processors ? Double(processors) / Double(count) : 1
    if speed != self.speed { lead = time - work }
    self.speed = speed
  }

  /// When the work will be done if nothing changes before.
  func time(atWork target: Double) -> Double {
    // Not before now, which rounding could make of it.
    max(time, speed == 1 ? target + lead : time + (target - work) / speed)
  }

  mutating func advance(toWork target: Double) { (time, work) = (time(atWork: target), target) }

  mutating func advance(toTime target: Double) {
    work = speed == 1 ? target - lead : work + (target - time) * speed
    time = target
  }
}
