internal import Checkpoint

/// The text of a record in `metrics.jsonl`.
///
/// An object with `kind`, `step` and the record's fields, in this order. Numbers are the shortest text that
/// reads back as the same number. JSON has no NaN and no infinity: such a number becomes `null`, and
/// `non_finite`, the last key, lists where: `["loss", "loss_mtp_by_depth[0]", "layers[2].entropy"]`,
/// indices from 0.
struct JSONLine {
  private var text: String
  private var nonFinite: [String] = []

  /// The line of a record, without the line feed.
  static func text(of record: some MetricsRecord) -> String {
    var line = JSONLine(text: "{\"kind\":\"\(type(of: record).kind)\",\"step\":\(record.step)")
    for field in record.fields { line.add(field, path: field.name) }
    if !line.nonFinite.isEmpty {
      line.text += ",\"non_finite\":[" + line.nonFinite.map { "\"\($0)\"" }.joined(separator: ",") + "]"
    }
    return line.text + "}"
  }

  private init(text: String) { self.text = text }

  private mutating func add(_ field: MetricField, path: String) {
    text += ",\"\(field.name)\":"
    add(field.value, path: path)
  }

  private mutating func add(_ value: MetricField.Value, path: String) {
    switch value {
    case .integer(let value): text += "\(value)"
    case .number(let value): add(value, path: path)
    case .single(let value): add(value, path: path)
    case .numbers(let values):
      addList(values) { line, index in line.add(values[index], path: "\(path)[\(index)]") }
    case .layers(let layers):
      addList(layers) { line, index in line.add(layers[index], path: "\(path)[\(index)]") }
    case .text(let value): text += jsonString(value)
    case .indices(let values): addList(values) { line, index in line.text += "\(values[index])" }
    case .rows(let rows):
      addList(rows) { line, index in line.add(rows[index], path: "\(path)[\(index)]") }
    }
  }

  /// Swift describes a number by the shortest text that reads back as the same, which is also valid JSON.
  private mutating func add<Number: BinaryFloatingPoint & CustomStringConvertible>(
    _ value: Number, path: String
  ) {
    if value.isFinite {
      text += value.description
    } else {
      text += "null"
      nonFinite.append(path)
    }
  }

  private mutating func add(_ load: LayerLoad, path: String) {
    text += "{\"layer\":\(load.layer)"
    for field in load.fields { add(field, path: "\(path).\(field.name)") }
    text += "}"
  }

  private mutating func add(_ row: [MetricField], path: String) {
    text += "{"
    for (index, field) in row.enumerated() {
      text += "\(index > 0 ? "," : "")\"\(field.name)\":"
      add(field.value, path: "\(path).\(field.name)")
    }
    text += "}"
  }

  private mutating func addList<Element>(_ list: [Element], _ add: (inout JSONLine, Int) -> Void) {
    text += "["
    for index in list.indices {
      if index > 0 { text += "," }
      add(&self, index)
    }
    text += "]"
  }
}
