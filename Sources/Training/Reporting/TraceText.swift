/// The format of chrome://tracing and Perfetto: JSON, a line for each event, times in microseconds.
package enum TraceText {
  /// The whole file.
  package static func document(_ lines: [String]) -> String {
    "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n" + lines.joined(separator: ",\n") + "\n]}\n"
  }

  /// Something that takes time.
  /// - Parameter arguments: members of a JSON object, as in `"step": 3`.
  package static func span(
    _ name: String, category: String, start: Double, duration: Double, process: Int, thread: Int,
    arguments: [String]
  ) -> String {
    """
    {"name": "\(name)", "cat": "\(category)", "ph": "X", "ts": \(start), "dur": \(duration), \
    "pid": \(process), "tid": \(thread), "args": {\(arguments.joined(separator: ", "))}}
    """
  }

  package static func process(_ number: Int, name: String) -> String {
    metadata("process_name", process: number, thread: 0, name)
  }

  package static func thread(_ number: Int, ofProcess process: Int, name: String) -> String {
    metadata("thread_name", process: process, thread: number, name)
  }

  /// Whether a line names a process or a thread.
  static func isName(_ line: String) -> Bool { line.contains("\"ph\": \"M\"") }

  private static func metadata(_ kind: String, process: Int, thread: Int, _ name: String) -> String {
    "{\"name\": \"\(kind)\", \"ph\": \"M\", \"pid\": \(process), \"tid\": \(thread), "
      + "\"args\": {\"name\": \"\(name)\"}}"
  }
}
