/// One key in the printed reference, without the type that it configures.
package struct ReferenceRow: Sendable, Hashable {
  package let key: String
  package let kind: String
  package let unit: String?
  /// `required`, or the default as it would be written.
  package let standard: String
  package let summary: String
  /// The keys inside a section.
  package let rows: [ReferenceRow]

  /// Calls `body` for every row with its dotted path, outer rows first.
  package static func visit(
    _ rows: [ReferenceRow], under path: [String], _ body: (ReferenceRow, String) -> Void
  ) {
    for row in rows {
      body(row, (path + [row.key]).joined(separator: "."))
      visit(row.rows, under: path + [row.key], body)
    }
  }
}

extension Schema {
  package var referenceRows: [ReferenceRow] {
    fields.map { field in
      let standard =
        switch field.requirement {
        case .never: "`" + ConfigurationText.inline(field.write(initial)) + "`"
        case .always: "required"
        case .when(let reason, _): "required when \(reason)"
        }
      return ReferenceRow(
        key: field.key, kind: field.kind, unit: field.unit, standard: standard, summary: field.summary,
        rows: field.rows)
    }
  }
}
