internal import Foundation

/// OpenBLAS, found when the program runs.
///
/// Not linked: OpenBLAS chooses its kernels while it is being loaded, and a version that does not know the processor
/// takes its slowest ones (0.3.21 on Emerald Rapids: those of a 2004 Prescott). So we tell it first.
struct BLAS: Sendable {
  /// `cblas_sgemm(order, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)`
  private typealias SGEMM =
    @convention(c) (
      Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>, Int32, UnsafePointer<Float>,
      Int32, Float, UnsafeMutablePointer<Float>, Int32
    ) -> Void

  private let sgemm: SGEMM
  private static let rowMajor: Int32 = 101
  private static let plain: Int32 = 111
  private static let transposed: Int32 = 112

  /// Loaded once a process, by whoever asks first; the choice of kernels is the processor's, not a forced level's.
  private static let loaded = Result { () throws(DeviceError) in try load() }

  init() throws(DeviceError) { self = try Self.loaded.get() }

  private init(sgemm: SGEMM) { self.sgemm = sgemm }

  private static func load() throws(DeviceError) -> BLAS {
    let levels = Device.supportedLevels()
    if levels.contains("avx512") { setenv("OPENBLAS_CORETYPE", "SkylakeX", 0) }
    guard let library = dlopen("libopenblas.so.0", RTLD_NOW),
      let sgemm = dlsym(library, "cblas_sgemm"), let setThreads = dlsym(library, "openblas_set_num_threads")
    else {
      throw DeviceError.noOpenBLAS(reason: dlerror().map { String(cString: $0) } ?? "unknown")
    }
    // Tiles of a product are shared out by our own threads: OpenBLAS must not start its own inside them, and
    // the split must not depend on their number.
    unsafeBitCast(setThreads, to: (@convention(c) (Int32) -> Void).self)(1)
    return BLAS(sgemm: unsafeBitCast(sgemm, to: SGEMM.self))
  }

  /// `y = a b`, or `y += a b`; row lengths in elements. On the calling thread alone.
  func multiply(
    _ layout: Layout, m: Int, n: Int, k: Int, _ a: UnsafePointer<Float>, _ lda: Int,
    _ b: UnsafePointer<Float>,
    _ ldb: Int, _ y: UnsafeMutablePointer<Float>, _ ldy: Int, accumulate: Bool = false
  ) {
    sgemm(
      Self.rowMajor, layout == .tn ? Self.transposed : Self.plain,
      layout == .nt ? Self.transposed : Self.plain,
      Int32(m), Int32(n), Int32(k), 1, a, Int32(lda), b, Int32(ldb), accumulate ? 1 : 0, y, Int32(ldy))
  }
}
