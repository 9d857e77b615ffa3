/// Kinds made of kinds.
extension ValueKind {
  /// `word` (normally `null`) stands for nil, anything else for a value of this kind.
  package func optional(_ word: String = "null") -> ValueKind<Value?> {
    let base = self
    return ValueKind<Value?>(
      "\(name), or `\(word)`", rows: rows,
      read: { node, reading in
        if node.isNull && word == "null" || node.content == .scalar(word, quoted: false) { return .some(nil) }
        return base.read(node, &reading).map { .some($0) }
      },
      write: { value in
        value.map(base.write) ?? (word == "null" ? .null : .plain(word))
      })
  }

  /// `null` stands for `value`, as in files of other software.
  package func null(is value: Value) -> ValueKind {
    let base = self
    return ValueKind(
      name, rows: rows, read: { node, reading in node.isNull ? value : base.read(node, &reading) },
      write: write)
  }

  /// Any number of values.
  package func list() -> ValueKind<[Value]> {
    let base = self
    return ValueKind<[Value]>(
      "list of: \(name)", rows: rows,
      read: { node, reading in
        guard case .sequence(let items) = node.content else {
          reading.fault(at: node.location, "expected a list, found \(node.found)")
          return nil
        }
        var values: [Value] = []
        for (index, item) in items.enumerated() {
          // Not short-circuited: the faults of every item are wanted.
          if let value = reading.within("\(index)", { base.read(item, &$0) }) { values.append(value) }
        }
        return values.count == items.count ? values : nil
      }, write: { values in ConfigurationNode(.sequence(values.map(base.write))) })
  }

  /// One value, or a list of them.
  package func oneOrMore() -> ValueKind<[Value]> {
    let base = self
    let list = self.list()
    return ValueKind<[Value]>(
      "\(name), or a list", rows: rows,
      read: { node, reading in
        guard case .scalar = node.content else { return list.read(node, &reading) }
        return base.read(node, &reading).map { [$0] }
      }, write: list.write)
  }

  /// The same text for another type.
  package func map<Other: Sendable>(
    to: @escaping @Sendable (Value) -> Other, from: @escaping @Sendable (Other) -> Value
  ) -> ValueKind<Other> {
    let base = self
    return ValueKind<Other>(
      name, rows: rows, read: { node, reading in base.read(node, &reading).map(to) },
      write: { base.write(from($0)) })
  }

  /// A scalar is read by `scalar`, anything else by `self`; `isScalar` says how a value is written.
  package func or(
    scalar: ValueKind, isScalar: @escaping @Sendable (Value) -> Bool
  ) -> ValueKind {
    let base = self
    return ValueKind(
      "\(scalar.name), or \(name)", rows: rows,
      read: { node, reading in
        if case .scalar = node.content { return scalar.read(node, &reading) }
        return base.read(node, &reading)
      }, write: { isScalar($0) ? scalar.write($0) : base.write($0) })
  }

  /// A mapping with the keys of `schema`.
  package static func section(_ schema: Schema<Value>) -> ValueKind {
    ValueKind(
      "section", rows: schema.referenceRows, read: { node, reading in schema.read(node, &reading) },
      write: { schema.write($0) })
  }
}
