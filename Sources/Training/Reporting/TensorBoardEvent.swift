/// An event of TensorBoard: something that happened at a time and a step.
///
/// Source of the field numbers: TensorBoard's `event.proto` and `summary.proto`.
struct TensorBoardEvent {
  /// Seconds since 1970.
  var wallTime: Double
  var step: Int
  var content: Content

  enum Content {
    /// The first event of a file.
    case fileVersion
    /// Makes readers forget the events of this and of later steps in older files of the directory.
    case start
    case scalars([Scalar])
  }

  struct Scalar: Hashable {
    var tag: String
    var value: Float
  }

  /// The event as a record of a file: length (8 bytes), its masked check sum (4), the message, its masked
  /// check sum (4), all little-endian.
  ///
  /// Source: TensorFlow's description of the TFRecord format.
  func record(_ crc: CRC32C) -> [UInt8] {
    let content = message.bytes
    let length = TensorBoardEvent.littleEndian(UInt64(content.count))
    return length + TensorBoardEvent.littleEndian(crc.masked(length)) + content
      + TensorBoardEvent.littleEndian(crc.masked(content))
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  private var message: ProtobufMessage {
    var event = ProtobufMessage()
    event.add(1, wallTime)
    // Zero is what a reader assumes for an absent step.
    if step != 0 { event.add(2, Int64(step)) }
    switch content {
    case .fileVersion: event.add(3, "brain.Event:2")
    case .start:
      var sessionLog = ProtobufMessage()
      sessionLog.add(1, 1 as Int64)  // status: START
      event.add(7, sessionLog)
    case .scalars(let scalars): event.add(5, TensorBoardEvent.summary(scalars))
    }
    return event
  }

  private static func summary(_ scalars: [Scalar]) -> ProtobufMessage {
    var summary = ProtobufMessage()
    for scalar in scalars {
      var value = ProtobufMessage()
      value.add(1, scalar.tag)
      value.add(2, scalar.value)
      summary.add(1, value)
    }
    return summary
  }
}

extension MetricsRecord {
  /// Every number of the record under its tag: `train/loss`, `train/loss_mtp_by_depth/1`,
  /// `moe/layer_03/entropy`, `evaluation/bits_per_byte`, …
  var scalars: [TensorBoardEvent.Scalar] { fields.flatMap { $0.scalars(under: Self.group) } }
}

extension MetricField {
  fileprivate func scalars(under group: String) -> [TensorBoardEvent.Scalar] {
    let tag = "\(group)/\(name)"
    switch value {
    case .integer(let value): return [.init(tag: tag, value: Float(value))]
    case .number(let value): return [.init(tag: tag, value: Float(value))]
    case .single(let value): return [.init(tag: tag, value: value)]
    case .numbers(let values):
      return values.enumerated().map { .init(tag: "\(tag)/\($0 + 1)", value: Float($1)) }
    case .layers(let layers):
      return layers.flatMap { load in
        // Two digits, so that the order of the names is the order of the layers.
        let layer = load.layer < 10 ? "0\(load.layer)" : "\(load.layer)"
        return load.fields.flatMap { $0.scalars(under: "moe/layer_\(layer)") }
      }
    case .text, .indices, .rows: return []
    }
  }
}
