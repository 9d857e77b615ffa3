/// One named quantity of a record. The list of a record's fields is what every writer walks.
package struct MetricField: Hashable, Sendable {
  package enum Value: Hashable, Sendable {
    case integer(Int)
    case number(Double)
    /// Kept apart from `number` so that its text is the shortest that gives the same `Float`.
    case single(Float)
    /// One number for each MTP depth, from depth 1 on.
    case numbers([Double])
    /// The expert load of each MoE layer.
    case layers([LayerLoad])
    /// A name; not a number, so not for TensorBoard.
    case text(String)
    /// Numbers that name something; not for TensorBoard.
    case indices([Int])
    /// Objects of further fields; too many for TensorBoard.
    case rows([[MetricField]])
  }

  /// In snake_case: the key in `metrics.jsonl` and the last part of the tag in TensorBoard.
  package var name: String
  package var value: Value

  package init(_ name: String, _ value: Value) { (self.name, self.value) = (name, value) }
}

/// What is known after a step or an evaluation, as a line of `metrics.jsonl` and an event of TensorBoard.
package protocol MetricsRecord: Sendable {
  /// The value of the key `kind`.
  static var kind: String { get }
  /// The first part of the tags in TensorBoard.
  static var group: String { get }
  /// Optimizer steps that were done.
  var step: Int { get }
  /// Everything but the kind and the step, always in the same order.
  var fields: [MetricField] { get }
}
