import Foundation
import Testing

@testable import Data

/// What is not supported, missing or damaged is refused by its name.
@Suite struct TokenizerFileTests {
  /// The golden file with the value at a path replaced (nil: removed). A number in the path is an index.
  private func changed(_ path: [String], _ value: Any?) throws -> Data {
    let file = try JSONSerialization.jsonObject(with: Golden.data("deepseek.tokenizer.json"))
    return try JSONSerialization.data(withJSONObject: changed(file, path[...], value) as Any)
  }

  private func changed(_ node: Any, _ path: ArraySlice<String>, _ value: Any?) -> Any? {
    guard let key = path.first else { return value }
    if var list = node as? [Any], let index = Int(key) {
      if let child = changed(list[index], path.dropFirst(), value) { list[index] = child }
      return list
    }
    var object = node as? [String: Any] ?? [:]
    object[key] = changed(object[key] ?? NSNull(), path.dropFirst(), value)
    return object
  }

  private func error(_ path: [String], _ value: Any?) throws -> TokenizerError? {
    let json = try changed(path, value)
    return #expect(throws: TokenizerError.self, "\(path)") { try Tokenizer(json: json, path: "x.json") }
  }

  @Test func unsupportedComponentsAreNamed() throws {
    let faults: [(path: [String], value: Any, component: String)] = [
      (["version"], "2.0", "2.0"),
      (["normalizer"], ["type": "NFKC"], "NFKC"),
      (["normalizer"], ["type": "Sequence", "normalizers": [["type": "Lowercase"]]], "Lowercase"),
      (["pre_tokenizer", "pretokenizers", "0", "type"], "Digits", "Digits"),
      (["pre_tokenizer", "pretokenizers", "0", "behavior"], "Removed", "Removed"),
      (["pre_tokenizer", "pretokenizers", "0", "invert"], true, "true"),
      (["pre_tokenizer", "pretokenizers", "0", "pattern"], ["String": "a"], "this key"),
      (["pre_tokenizer", "pretokenizers", "0"], ["type": "ByteLevel"], "ByteLevel before the last step"),
      (["pre_tokenizer", "pretokenizers", "3", "add_prefix_space"], true, "true"),
      (
        ["pre_tokenizer"], ["type": "Sequence", "pretokenizers": [Any]()],
        "Sequence without ByteLevel at its end"
      ),
      (["post_processor"], ["type": "TemplateProcessing"], "TemplateProcessing"),
      (["decoder"], ["type": "WordPiece"], "WordPiece"),
      (["decoder"], NSNull(), "null instead of ByteLevel"),
      (["truncation"], ["max_length": 3], "anything but null"),
      (["padding"], ["length": 3], "anything but null"),
      (["added_tokens", "0", "lstrip"], true, "true"),
      (["model", "type"], "Unigram", "Unigram"),
      (["model", "dropout"], 0.1, "anything but null"),
      (["model", "unk_token"], "<unk>", "<unk>"),
      (["model", "end_of_word_suffix"], "</w>", "</w>"),
      (["model", "byte_fallback"], true, "true"),
      (["model", "novelty"], 1, "this key"),
      (["surprise"], 1, "this key"),
    ]
    for fault in faults {
      guard case .unsupported("x.json", let key, let component) = try error(fault.path, fault.value) else {
        Issue.record("\(fault.path) was not refused as unsupported")
        continue
      }
      #expect(component == fault.component)
      #expect(key.hasPrefix(fault.path[0]))
    }
  }

  @Test func damageIsNamed() throws {
    let faults: [(path: [String], value: Any?, key: String)] = [
      (["model"], nil, "model"), (["model"], 3, "model"), (["model", "vocab"], nil, "model.vocab"),
      (["model", "merges"], "a b", "model.merges"), (["model", "merges", "0"], "a", "model.merges[0]"),
      (["model", "merges", "0"], ["a", "b", "c"], "model.merges[0]"),
      (["model", "merges", "7"], 7, "model.merges[7]"),
      (["model", "merges", "0"], "漢 字", "model.merges[0]"),
      (["model", "merges", "0"], "q z", "model.merges[0]"),
      (["model", "vocab", "!"], nil, "model.vocab"), (["model", "vocab", "!"], -1, "model.vocab"),
      (["model", "vocab", "!"], 1 << 40, "model.vocab"), (["model", "vocab", "!"], 4, "model.vocab"),
      (["model", "vocab", "!"], "3", "model.vocab"), (["model", "vocab", "漢"], 900, "model.vocab"),
      (["model", "vocab", "!"], 1, "model.vocab"),
      (["added_tokens", "0", "id"], 1, "added_tokens[1].content"),
      (["added_tokens", "0", "content"], "", "added_tokens[0].content"), (["version"], nil, "version"),
      (["added_tokens", "0", "id"], nil, "added_tokens[0].id"), (["decoder"], "x", "decoder"),
      (["pre_tokenizer", "pretokenizers", "0", "pattern", "Regex"], "(", "pre_tokenizer.pretokenizers"),
    ]
    for fault in faults {
      guard case .malformed("x.json", let key, _) = try error(fault.path, fault.value) else {
        Issue.record("\(fault.path) was not refused as malformed")
        continue
      }
      #expect(key == fault.key)
    }
  }

  @Test func repeatedMergesAreRefused() throws {
    let json = try Golden.data("deepseek.tokenizer.json")
    let file = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
    let merges = try #require((file["model"] as? [String: Any])?["merges"] as? [Any])
    guard case .malformed(_, "model.merges[5]", _) = try error(["model", "merges", "5"], merges[0]) else {
      Issue.record("a repeated merge was not refused")
      return
    }
  }

  @Test func truncatedAndMissingFiles() throws {
    let json = try Golden.data("deepseek.tokenizer.json")
    for count in [0, 1, 100, json.count / 2, json.count - 1] {
      guard
        case .notJSON = #expect(
          throws: TokenizerError.self, performing: { try Tokenizer(json: json.prefix(count)) })
      else {
        Issue.record("\(count) bytes were not refused as JSON")
        continue
      }
    }
    #expect(throws: TokenizerError.file(FileError("open", "/nowhere/t.json", code: ENOENT))) {
      try Tokenizer(contentsOf: "/nowhere/t.json")
    }
  }

  @Test func variantsThatChangeNothingAreRead() throws {
    let golden = try Tokenizer(contentsOf: Golden.path("deepseek.tokenizer.json"))
    let text = "The theory of them: 12345 and that\n"
    for (path, value) in [
      (["normalizer"], ["type": "Sequence", "normalizers": [Any]()] as Any), (["model", "dropout"], 0.0),
      (["post_processor"], ["type": "ByteLevel", "trim_offsets": false]),
    ] {
      #expect(try Tokenizer(json: changed(path, value)).encode(text) == golden.encode(text))
    }
    #expect(
      try Tokenizer(json: changed(["model", "ignore_merges"], true)).decode(golden.encode(text)) == text)
  }

  @Test func wholeWordsGoBeforeMerges() throws {
    let merges: [Any] = []
    let file = try JSONSerialization.jsonObject(with: changed(["model", "ignore_merges"], true))
    let json = try #require(changed(file, ["model", "merges"], merges))
    let tokenizer = try Tokenizer(json: JSONSerialization.data(withJSONObject: json))
    #expect(tokenizer.encode(" the").count == 1)
    #expect(tokenizer.encode("qqq").count == 3)
  }
}
