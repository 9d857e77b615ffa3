internal import Foundation

extension Schedule {
  /// Reads and verifies a file in the format of ``fileText``.
  ///
  /// - Throws: ``ScheduleError`` with line and column of what is wrong, whether it cannot be read or does not
  ///   verify; ranks that wait for each other are given without.
  package static func read(path: String) throws(ScheduleError) -> Schedule {
    let text: String
    do {
      text = try String(contentsOfFile: path, encoding: .utf8)
    } catch {
      let exists = FileManager.default.fileExists(atPath: path)
      throw .unreadable(path: path, reason: exists ? "is no file of UTF-8 text" : "no such file")
    }
    let reader = try ScheduleReader(text, path: path)
    let schedule = try reader.schedule()
    do {
      try schedule.verify()
    } catch {
      throw reader.located(error)
    }
    return schedule
  }

  /// Reads text in the format of ``fileText``; does not verify it.
  ///
  /// - Parameter path: for messages.
  /// - Throws: ``ScheduleError/malformed(path:line:column:reason:)``, or where the header contradicts itself
  ///   ``ScheduleError/unfit(schedule:reason:)``.
  package static func parse(_ text: String, path: String) throws(ScheduleError) -> Schedule {
    try ScheduleReader(text, path: path).schedule()
  }
}

/// Takes a file line by line.
private struct ScheduleReader {
  /// A word and the column where it begins, from 1.
  struct Word {
    var text: String
    var column: Int
  }

  let path: String
  private var line = 0
  private var name: String?
  private var counts: [String: Int] = [:]
  private var routes: [[Place]] = []
  private var lanes: [[Action]?] = []
  /// Where each action of each lane stands.
  private var tokens: [[(line: Int, column: Int)]] = []
  /// Whose actions a line with an indent continues.
  private var openLane: Int?

  init(_ text: String, path: String) throws(ScheduleError) {
    self.path = path
    let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    for (index, line) in lines.enumerated() { try read(line, number: index + 1) }
  }

  /// An error with the place in the file of the action that it names; of a lane's end, of its last action.
  func located(_ error: ScheduleError) -> ScheduleError {
    switch error {
    case .fault(let fault):
      let places = tokens[fault.rank]
      guard let place = places.indices.contains(fault.index) ? places[fault.index] : places.last else {
        return .malformed(path: path, line: line, column: 1, reason: fault.place + fault.reason)
      }
      return .malformed(
        path: path, line: place.line, column: place.column, reason: fault.place + fault.reason)
    case .deadlock(_, let cycle): return .deadlock(schedule: path, cycle: cycle)
    case .unknownName, .unfit, .unreadable, .malformed: return error
    }
  }

  private mutating func read(_ text: Substring, number: Int) throws(ScheduleError) {
    line = number
    let words = Self.words(text)
    guard let first = words.first else { return }
    if first.column > 1 {
      guard let openLane else { throw malformed(first, "only a lane can go on in a line with an indent") }
      return try add(words[...], to: openLane)
    }
    openLane = nil
    switch first.text {
    case "schedule": try readName(words)
    case "ranks", "microbatches": try readCount(words)
    case "route": try readRoute(words)
    case "rank": try readLane(words)
    default:
      throw malformed(first, "'\(first.text)' is none of schedule, ranks, microbatches, route, rank, #")
    }
  }

  /// - Throws: where something is missing; the column is then 1, the line the last one.
  func schedule() throws(ScheduleError) -> Schedule {
    let end = Word(text: "", column: 1)
    guard let name else { throw malformed(end, "the file ends without a line 'schedule NAME'") }
    guard let ranks = counts["ranks"] else { throw malformed(end, "the file ends without a line 'ranks P'") }
    guard let microbatches = counts["microbatches"] else {
      throw malformed(end, "the file ends without a line 'microbatches M'")
    }
    guard !routes.isEmpty else {
      throw malformed(end, "the file ends without a line 'route 0.0 1.0 …': its places are RANK.SLOT")
    }
    var all: [[Action]] = []
    for (rank, lane) in lanes.enumerated() {
      guard let lane else { throw malformed(end, "the file ends without a line 'rank \(rank): …'") }
      all.append(lane)
    }
    let placement = try Placement(schedule: name, ranks: ranks, routes: routes)
    return try Schedule(name: name, microbatches: microbatches, placement: placement, lanes: all)
  }

  private mutating func readName(_ words: [Word]) throws(ScheduleError) {
    guard name == nil else { throw malformed(words[0], "a second line 'schedule'") }
    guard words.count == 2 else { throw malformed(words[0], "write one name: schedule NAME") }
    // So that it needs no quoting, wherever it is printed.
    let isName = words[1].text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
        true
      default: false
      }
    }
    guard isName else {
      throw malformed(
        words[1], "'\(words[1].text)': a name has letters from a to z, digits, '-', '_' and '.'")
    }
    name = words[1].text
  }

  private mutating func readCount(_ words: [Word]) throws(ScheduleError) {
    let key = words[0].text
    guard counts[key] == nil else { throw malformed(words[0], "a second line '\(key)'") }
    guard words.count == 2 else { throw malformed(words[0], "write one number: \(key) 8") }
    guard let count = Int(words[1].text), 1...Schedule.maximumCells ~= count else {
      throw malformed(words[1], "'\(words[1].text)' is no number from 1 to \(Schedule.maximumCells)")
    }
    counts[key] = count
    if key == "ranks" {
      lanes = Array(repeating: nil, count: count)
      tokens = Array(repeating: [], count: count)
    }
  }

  private mutating func readRoute(_ words: [Word]) throws(ScheduleError) {
    var route: [Place] = []
    for word in words.dropFirst() {
      let numbers = word.text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
      guard numbers.count == 2, let rank = numbers[0], let slot = numbers[1] else {
        throw malformed(word, "'\(word.text)' is no place: write RANK.SLOT, as in 2.0")
      }
      route.append(Place(rank: rank, slot: slot))
    }
    routes.append(route)
  }

  private mutating func readLane(_ words: [Word]) throws(ScheduleError) {
    guard !lanes.isEmpty else { throw malformed(words[0], "the line 'ranks P' must come before this") }
    guard words.count >= 2, words[1].text.hasSuffix(":"), let rank = Int(words[1].text.dropLast()) else {
      throw malformed(words[0], "write the rank's number and a colon: rank 0: F0.0 …")
    }
    guard lanes.indices.contains(rank) else {
      throw malformed(words[1], "rank \(rank) is none of 0 to \(lanes.count - 1)")
    }
    guard lanes[rank] == nil else { throw malformed(words[1], "a second line of rank \(rank)") }
    lanes[rank] = []
    openLane = rank
    try add(words.dropFirst(2), to: rank)
  }

  private mutating func add(_ words: ArraySlice<Word>, to rank: Int) throws(ScheduleError) {
    for word in words {
      guard let action = Action(word.text) else {
        throw malformed(
          word, "'\(word.text)' is no action: write F0.3, B0.3, I0.3, W0.3 (slot, micro-batch) or F0.3&B1.1")
      }
      lanes[rank]?.append(action)
      tokens[rank].append((line, word.column))
    }
  }

  private func malformed(_ word: Word, _ reason: String) -> ScheduleError {
    .malformed(path: path, line: line, column: word.column, reason: reason)
  }

  /// What stands between spaces, up to a `#`.
  private static func words(_ line: Substring) -> [Word] {
    var words: [Word] = []
    var column = 0
    var isInside = false
    for character in line {
      column += 1
      if character == "#" { break }
      if character.isWhitespace {
        isInside = false
      } else if isInside {
        words[words.count - 1].text.append(character)
      } else {
        words.append(Word(text: String(character), column: column))
        isInside = true
      }
    }
    return words
  }
}
