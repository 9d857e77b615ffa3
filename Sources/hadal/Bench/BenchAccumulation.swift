internal import ArgumentParser
internal import Tensors

/// `hadal bench accumulation`: what a short accumulator costs, and what promotion saves.
struct BenchAccumulation: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "accumulation", abstract: "Errors of FP8 products whose sums keep few bits.",
    discussion: """
      Multiplies matrices of \(AccumulationStudy.size) rows of E4M3 codes, normal (mean 0) and uniform (0 to 1), \
      always the same ones, in three ways: with the float32 sums of training; with an emulated accumulator that \
      keeps --bits binary digits, promoted to float32 every \(AccumulationStudy.interval) terms; and with that one \
      alone. Errors are against Double sums of the same codes, so that quantization has no part in them: the \
      largest error over the largest value, and 1 - similarity, 1 - 2<x,y> / (<x,x> + <y,y>). Nothing is timed.
      """)

  @Option(help: "Binary digits that the accumulator keeps, 2 to 24; NVIDIA's Hopper: about 14.") var bits = 14

  @Option(parsing: .upToNextOption, help: "Lengths of the sums.") var k = [512, 1024, 2048, 4096, 8192]

  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    guard 2...24 ~= bits else { throw OptionError(option: "--bits", reason: "\(bits) must be from 2 to 24") }
    for length in k where !(1...1 << 16 ~= length) {
      throw OptionError(option: "--k", reason: "\(length) must be from 1 to \(1 << 16)")
    }
    let results = try k.flatMap { length in
      // A device of its own: its pool gives the memory back.
      let device = try ProcessDevice.make()
      return AccumulationStudy.Values.allCases.map { values in
        AccumulationStudy(values, k: length, on: device).result(bits: bits)
      }
    }
    let report = AccumulationReport(level: try ProcessDevice.make().level, bits: bits, results: results)
    print(json ? try BenchJSON.text(report) : report.text)
  }
}

/// Everything that `hadal bench accumulation` prints.
struct AccumulationReport: Encodable {
  /// Of the float32 sums; the emulation is the same on all.
  let level: String
  let bits: Int
  let interval = AccumulationStudy.interval
  /// Of both matrices.
  let rows = AccumulationStudy.size
  let results: [AccumulationResult]

  var text: String {
    var table = TextTable(
      words: ["values"],
      numbers: ["K"]
        + ["float32", "\(bits) bits, every \(interval)", "\(bits) bits"].flatMap { [$0, "1 - similarity"] })
    let sorted = AccumulationStudy.Values.allCases.flatMap { values in
      results.filter { $0.values == values }
    }
    for r in sorted {
      let errors = [r.float32, r.promoted, r.unpromoted]
      table.add(
        [r.values.rawValue, "\(r.k)"]
          + errors.flatMap {
            [(100 * $0.maximumRelative).twoDigitText + " %", $0.dissimilarity.twoDigitText]
          })
    }
    let head =
      "Largest error of \(rows) x \(rows) sums of K terms, in % of the largest sum; "
      + "float32 sums of level \(level)"
    return "\(head)\n\n\(table.text)"
  }
}
