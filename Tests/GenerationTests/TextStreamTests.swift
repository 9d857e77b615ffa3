import Data
import Generation
import Numerics
import Testing

struct TextStreamTests {
  @Test func charactersOfSeveralBytesComeWhole() throws {
    var stream = TextStream(try smallTokenizer())
    let text = "aé猫🐈b"
    var pieces: [String] = []
    for byte in text.utf8 { pieces.append(stream.append(bytes: [byte])) }
    #expect(pieces == ["a", "", "é", "", "", "猫", "", "", "", "🐈", "b"])
    #expect(stream.finish().isEmpty)
  }

  @Test func whatNeverBecomesWholeIsReplacedAtTheEnd() throws {
    var stream = TextStream(try smallTokenizer())
    #expect(stream.append(bytes: Array("a猫".utf8.dropLast())) == "a")
    #expect(stream.finish() == "\u{FFFD}")
    #expect(stream.finish().isEmpty)
  }

  @Test func tokensGoThroughTheTokenizer() throws {
    let tokenizer = try smallTokenizer()
    let text = "the mat — 猫🐈"
    var stream = TextStream(tokenizer)
    let pieces = tokenizer.encode(text).map { stream.append($0) }
    #expect(pieces.joined() == text)
    #expect(pieces.contains(""))
  }

  /// Whatever the bytes and the cuts, the pieces are the text of the whole.
  @Test func piecesAreTheTextOfTheWhole() throws {
    let tokenizer = try smallTokenizer()
    var random = Numbers(generator: Philox(seed: 1, stream: 0))
    let interesting: [UInt8] = [
      0x41, 0x80, 0xBF, 0xC0, 0xC3, 0xA9, 0xE0, 0xE7, 0x8C, 0xED, 0xF0, 0x9F, 0xF4, 0xF5, 0xFF,
    ]
    for _ in 0..<3000 {
      let length = Int.random(in: 0...12, using: &random)
      let bytes = (0..<length).map { _ in interesting.randomElement(using: &random)! }
      var (stream, text, rest) = (TextStream(tokenizer), "", bytes[...])
      while !rest.isEmpty {
        let count = Int.random(in: 1...min(4, rest.count), using: &random)
        text += stream.append(bytes: Array(rest.prefix(count)))
        rest.removeFirst(count)
      }
      text += stream.finish()
      #expect(Array(text.utf8) == Array(String(decoding: bytes, as: UTF8.self).utf8), "\(bytes)")
    }
  }
}

/// The same numbers in every run.
private struct Numbers: RandomNumberGenerator {
  let generator: Philox
  var index: UInt64 = 0

  mutating func next() -> UInt64 {
    defer { index += 1 }
    let block = generator.block(index)
    return UInt64(block.0) << 32 | UInt64(block.1)
  }
}
