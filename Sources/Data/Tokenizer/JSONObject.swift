internal import Foundation

/// One object of a `tokenizer.json`, read key by key; every error names the file and the key.
struct JSONObject {
  let path: String
  /// Where the object stands in the file: "model", "pre_tokenizer.pretokenizers[2]".
  let name: String
  let values: [String: Any]

  /// The file's outermost object.
  init(parsing json: Data, path: String) throws(TokenizerError) {
    let parsed: Any
    do {
      parsed = try JSONSerialization.jsonObject(with: json)
    } catch {
      let reason = (error as NSError).userInfo[NSDebugDescriptionErrorKey] as? String
      throw .notJSON(path: path, reason: reason ?? "\(error)")
    }
    guard let values = parsed as? [String: Any] else {
      throw .notJSON(path: path, reason: "it does not hold an object")
    }
    self.init(path: path, name: "", values: values)
  }

  init(path: String, name: String, values: [String: Any]) {
    self.path = path
    self.name = name
    self.values = values
  }

  func keyName(_ key: String) -> String { name.isEmpty ? key : "\(name).\(key)" }

  func malformed(_ key: String, _ reason: String) -> TokenizerError {
    .malformed(path: path, key: keyName(key), reason: reason)
  }

  func unsupported(_ key: String, _ component: String) -> TokenizerError {
    .unsupported(path: path, key: keyName(key), component: component)
  }

  /// An unknown key may change what the file means, so it is refused.
  func allowOnly(_ keys: Set<String>) throws(TokenizerError) {
    if let unknown = values.keys.filter({ !keys.contains($0) }).min() {
      throw unsupported(unknown, "this key")
    }
  }

  func isNull(_ key: String) -> Bool { values[key] == nil || values[key] is NSNull }

  func value<Value>(
    _ key: String, as type: Value.Type, called typeName: String
  ) throws(TokenizerError) -> Value {
    guard !isNull(key) else { throw malformed(key, "is missing; it must be \(typeName)") }
    guard let value = values[key] as? Value else { throw malformed(key, "must be \(typeName)") }
    return value
  }

  func string(_ key: String) throws(TokenizerError) -> String {
    try value(key, as: String.self, called: "a string")
  }

  /// Absent and null mean false, as in the format's own reader.
  func flag(_ key: String) throws(TokenizerError) -> Bool {
    isNull(key) ? false : try value(key, as: Bool.self, called: "true or false")
  }

  /// A token id: 0 or more, and small enough that a table over all ids is sane.
  func id(_ key: String) throws(TokenizerError) -> Int32 {
    let id = try value(key, as: Int.self, called: "a token id")
    guard Tokenizer.idRange.contains(id) else {
      throw malformed(key, "\(id) is not a token id (\(Tokenizer.idRange))")
    }
    return Int32(id)
  }

  func object(_ key: String) throws(TokenizerError) -> JSONObject {
    JSONObject(
      path: path, name: keyName(key),
      values: try value(key, as: [String: Any].self, called: "an object"))
  }

  func objects(_ key: String) throws(TokenizerError) -> [JSONObject] {
    let list = try value(key, as: [[String: Any]].self, called: "a list of objects")
    return list.enumerated().map { JSONObject(path: path, name: "\(keyName(key))[\($0)]", values: $1) }
  }
}
