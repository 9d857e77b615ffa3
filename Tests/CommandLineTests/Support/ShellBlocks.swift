import Foundation

/// The commands of a document that must work: its fenced blocks with the info string `sh test`.
struct ShellBlocks {
  struct Block: Equatable {
    /// Of the first command, counted from 1.
    let line: Int
    let commands: [String]
  }

  let blocks: [Block]
  private let name: String

  /// - Parameter name: of the document, for messages.
  init(markdown: String, name: String) {
    var blocks: [Block] = []
    // The fence that a block has been opened with; nil outside.
    var open: (fence: Substring, isTested: Bool, line: Int, commands: [String])?
    for (index, line) in markdown.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let text = line.drop { $0 == " " }
      let fence = text.prefix { $0 == "`" }
      guard let block = open else {
        guard fence.count >= 3 else { continue }
        let words = text.dropFirst(fence.count).split(separator: " ")
        open = (fence, words.first == "sh" && words.contains("test"), index + 2, [])
        continue
      }
      if fence.count >= block.fence.count, fence.count == text.count {
        if block.isTested { blocks.append(Block(line: block.line, commands: block.commands)) }
        open = nil
      } else {
        open?.commands.append(String(line))
      }
    }
    (self.blocks, self.name) = (blocks, name)
  }

  /// All blocks as one bash script, so that a later one finds what an earlier one has made. It ends at the
  /// first command that fails and says in which block that is.
  var script: String {
    let head = ["set -euo pipefail", "trap 'echo \"$block: failed: $BASH_COMMAND\" >&2' ERR"]
    let body = blocks.flatMap { ["block='\(name):\($0.line)'"] + $0.commands }
    return (head + body + [""]).joined(separator: "\n")
  }
}
