/// What a mistyped key was probably meant to be.
enum NearestKey {
  /// The known key with the smallest edit distance, if it is near enough to be what was meant.
  static func find(_ key: String, among known: [String]) -> String? {
    let typed = Array(key.lowercased().unicodeScalars)
    let ranked = known.map { (key: $0, distance: distance(typed, Array($0.lowercased().unicodeScalars))) }
    guard let best = ranked.min(by: { $0.distance < $1.distance }) else { return nil }
    // A third of the letters wrong is still a misspelling; more than that is another word.
    return best.distance <= max(2, typed.count / 3) ? best.key : nil
  }

  /// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
  ///
  /// Source: Damerau, 1964, in the restricted form that edits no substring twice.
  static func distance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
    var rows = [Array(0...b.count)]
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        let substituted = rows[i][j] + (a[i] == b[j] ? 0 : 1)
        var best = min(substituted, rows[i][j + 1] + 1, row[j] + 1)
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
}
