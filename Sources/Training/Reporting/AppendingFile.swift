internal import Glibc

/// A file that only grows, by whole pieces: a piece that does not fit leaves no part of itself behind.
final class AppendingFile {
  let path: String
  private let descriptor: Int32
  private var length: off_t

  /// What a file that exists already means.
  enum Existing: Int32 {
    /// Pieces follow what is there.
    case kept
    /// What is there is replaced.
    case emptied
    /// `init` throws `EEXIST`.
    case refused
  }

  /// - Throws: `ReportingError` when the file cannot be opened or created.
  init(_ path: String, existing: Existing) throws(ReportingError) {
    let flag =
      switch existing {
      case .kept: O_APPEND
      case .emptied: O_APPEND | O_TRUNC
      case .refused: O_APPEND | O_EXCL
      }
    let descriptor = try ReportingError.check("open for writing", path) {
      open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flag, 0o666)
    }
    do throws(ReportingError) {
      length = try ReportingError.check("find the end", path) { lseek(descriptor, 0, SEEK_END) }
    } catch {
      close(descriptor)
      throw error
    }
    (self.path, self.descriptor) = (path, descriptor)
  }

  deinit { close(descriptor) }

  /// Hands a piece to the system at once, so that it survives the end of this process.
  ///
  /// - Throws: `ReportingError`; the file is then as long as it was before.
  func append(_ bytes: some Collection<UInt8>) throws(ReportingError) {
    let piece = Array(bytes)
    var written = 0
    do throws(ReportingError) {
      while written < piece.count {
        let count = try ReportingError.check("write", path) {
          piece.withUnsafeBytes { write(descriptor, $0.baseAddress! + written, $0.count - written) }
        }
        guard count > 0 else { throw ReportingError.system(EIO, "write", path) }
        written += count
      }
    } catch {
      // Shrinking needs no space. Should it fail too, `error` still says why; a reader drops the torn end.
      _ = ftruncate(descriptor, length)
      throw error
    }
    length += piece.count
  }

  /// Returns when the content is on the disk.
  func synchronize() throws(ReportingError) {
    try ReportingError.check("write to the disk (fsync)", path) { fsync(descriptor) }
  }
}
