internal import Foundation

/// Rows of text under titles, in columns as wide as they need to be.
struct TextTable {
  struct Column {
    let title: String
    let isNumber: Bool
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  /// - Parameters:
  ///   - words: titles of the first columns, whose text begins at the left.
  ///   - numbers: titles of the others, with their units; text ends at the right.
  init(words: [String], numbers: [String]) {
    columns =
      words.map { Column(title: $0, isNumber: false) } + numbers.map { Column(title: $0, isNumber: true) }
  }

  mutating func add(_ row: [String]) {
    precondition(row.count == columns.count, "\(row.count) cells in \(columns.count) columns: \(row)")
    rows.append(row)
  }

  /// Lines without spaces at their ends.
  var text: String {
    let all = [columns.map(\.title)] + rows
    let widths = columns.indices.map { c in all.map { $0[c].count }.max() ?? 0 }
    return all.map { row in
      let cells = columns.indices.map { c in
        let space = String(repeating: " ", count: widths[c] - row[c].count)
        return columns[c].isNumber ? space + row[c] : row[c] + space
      }
      return String(cells.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
    }.joined(separator: "\n")
  }
}

extension Double {
  /// With this many digits after the point.
  func text(_ digits: Int) -> String { String(format: "%.\(digits)f", self) }

  /// With about three digits that count.
  var shortText: String { text(self < 10 ? 2 : self < 100 ? 1 : 0) }

  /// With two digits that count, and a power of ten where the number is small.
  var twoDigitText: String { String(format: "%.2g", self) }
}
