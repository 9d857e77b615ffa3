/// A section of the configuration as a table: one row a key.
///
/// The table is the only statement of what the section holds. Reading, writing and the printed reference
/// all follow from it, so they cannot disagree.
package struct Schema<Root: Sendable>: Sendable {
  /// What absent keys mean.
  package var initial: Root
  package var fields: [Field]
  /// Keys that are accepted and have no effect (book-keeping of other software).
  package var unused: Set<String>
  /// What must hold between keys.
  package var rules: [Rule]
  /// Brings other accepted forms of the section into the one that the fields describe.
  package var normalize: Normalization?
  /// Leaves keys that are null by default out of the written form.
  package var isCompact: Bool

  package typealias Normalization =
    @Sendable (ConfigurationNode, inout ConfigurationReading) -> ConfigurationNode

  package init(
    initial: Root, fields: [Field], unused: Set<String> = [], rules: [Rule] = [],
    normalize: Normalization? = nil, isCompact: Bool = false
  ) {
    self.initial = initial
    self.fields = fields
    self.unused = unused
    self.rules = rules
    self.normalize = normalize
    self.isCompact = isCompact
  }

  /// When the absence of a key is a fault.
  package enum Requirement: Sendable {
    case never
    case always
    /// `reason` completes the sentence «missing; it is needed when …».
    case when(_ reason: String, @Sendable (Root) -> Bool)
  }

  /// One key.
  package struct Field: Sendable {
    package let key: String
    let summary: String
    let unit: String?
    let kind: String
    let requirement: Requirement
    let rows: [ReferenceRow]
    let read: @Sendable (ConfigurationNode, inout Root, inout ConfigurationReading) -> Void
    let write: @Sendable (Root) -> ConfigurationNode

    package init<Value>(
      _ key: String, _ path: any WritableKeyPath<Root, Value> & Sendable, _ kind: ValueKind<Value>,
      unit: String? = nil, required: Requirement = .never, _ summary: String
    ) {
      self.init(
        key: key, summary: summary, unit: unit, kind: kind.name, requirement: required, rows: kind.rows,
        read: { node, root, reading in
          if let value = kind.read(node, &reading) { root[keyPath: path] = value }
        }, write: { kind.write($0[keyPath: path]) })
    }

    private init(
      key: String, summary: String, unit: String?, kind: String, requirement: Requirement,
      rows: [ReferenceRow],
      read: @escaping @Sendable (ConfigurationNode, inout Root, inout ConfigurationReading) -> Void,
      write: @escaping @Sendable (Root) -> ConfigurationNode
    ) {
      self.key = key
      self.summary = summary
      self.unit = unit
      self.kind = kind
      self.requirement = requirement
      self.rows = rows
      self.read = read
      self.write = write
    }

    /// A key that exists in other software and has one value here; any other is refused with `reason`.
    package static func only<Value: Equatable>(
      _ key: String, _ value: Value, _ kind: ValueKind<Value>, reason: String, _ summary: String
    ) -> Field {
      Field(
        key: key, summary: summary, unit: nil, kind: "only `\(value)`", requirement: .never, rows: [],
        read: { node, _, reading in
          guard let found = kind.read(node, &reading), found != value else { return }
          reading.fault(at: node.location, "must be \(value): \(reason); found \(node.found)")
        }, write: { _ in kind.write(value) })
    }

    /// The same key in a larger value that holds `Root` at `path`.
    package func lifted<Outer>(
      to path: any WritableKeyPath<Outer, Root> & Sendable
    ) -> Schema<Outer>.Field {
      let needed: Schema<Outer>.Requirement =
        switch requirement {
        case .never: .never
        case .always: .always
        case .when(let reason, let holds): .when(reason) { holds($0[keyPath: path]) }
        }
      return Schema<Outer>.Field(
        key: key, summary: summary, unit: unit, kind: kind, requirement: needed, rows: rows,
        read: { node, outer, reading in read(node, &outer[keyPath: path], &reading) },
        write: { write($0[keyPath: path]) })
    }
  }

  /// What must hold between keys; checked only if none of them is already at fault.
  package struct Rule: Sendable {
    /// Dotted, from this section; the fault is reported at the first of them that is written down.
    let keys: [String]
    /// The message, or nil if all is well.
    let check: @Sendable (Root) -> String?

    package init(_ keys: String..., check: @escaping @Sendable (Root) -> String?) {
      self.init(keys: keys, check: check)
    }

    private init(keys: [String], check: @escaping @Sendable (Root) -> String?) {
      self.keys = keys
      self.check = check
    }

    package func lifted<Outer>(to path: any WritableKeyPath<Outer, Root> & Sendable) -> Schema<Outer>.Rule {
      Schema<Outer>.Rule(keys: keys) { check($0[keyPath: path]) }
    }
  }
}
