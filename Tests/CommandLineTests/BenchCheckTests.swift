import Model
import Testing

@testable import Tensors
@testable import hadal

/// A fast wrong answer is never timed: the checks of `hadal bench` find one.
struct BenchCheckTests {
  private static let dtypes = [DType.float32, .bfloat16]

  private static let products = [
    ModelProduct(name: "dense", outputs: 40, inputs: 24, uses: 1),
    ModelProduct(name: "grouped", outputs: 40, inputs: 24, experts: 3, uses: 1),
  ]

  /// Writes a number over an element.
  private func spoil(_ tensor: Tensor, _ index: Int, _ change: (Float) -> Float) {
    let values = tensor.converted(to: .float32).copied()
    values.floats[index] = change(values.floats[index])
    tensor.convert(from: values)
  }

  @Test(arguments: ProductKind.allCases, dtypes)
  func aWrongProductIsNamed(_ kind: ProductKind, _ dtype: DType) throws {
    let device = try Device(threads: 2)
    for product in Self.products {
      let offsets = product.experts == nil ? [0, 50] : [0, 20, 20, 50]
      let gemm = GEMMCase(product, kind, dtype, offsets: offsets, on: device)
      let start = gemm.sum?.copied()
      let result = gemm.run()
      try gemm.check(result, addedTo: start)
      for index in [0, result.count - 1] {
        for change in [{ $0 + 1 }, { _ in .nan }, { _ in .infinity }] as [(Float) -> Float] {
          let wrong = result.copied()
          spoil(wrong, index, change)
          let error = #expect(throws: WrongResult.self) { try gemm.check(wrong, addedTo: start) }
          let text = "\(error.map(String.init(describing:)) ?? "")"
          #expect(text.contains("\(product.name), \(kind.rawValue) [M \(gemm.m), N \(gemm.n), K \(gemm.k)"))
          #expect(text.contains("not timed"), "\(text)")
        }
      }
    }
  }

  /// A term that a sum lacks is more than all rounding together.
  @Test(arguments: dtypes)
  func aMissingTermIsFound(_ dtype: DType) throws {
    let device = try Device(threads: 1)
    let product = ModelProduct(name: "dense", outputs: 16, inputs: 512, uses: 1)
    let gemm = GEMMCase(product, .forward, dtype, offsets: [0, 16], on: device)
    let x = Tensor.random([16, 512], dtype, "left", on: device)
    let weight = Tensor.random([16, 512], dtype, "right", on: device)
    try gemm.check(matmul(x, weight, .nt), addedTo: nil)
    spoil(x, 511) { _ in 0 }
    #expect(throws: WrongResult.self) { try gemm.check(matmul(x, weight, .nt), addedTo: nil) }
  }

  /// An element of many that is wrong is more than float32 sums lose, and a wrong scale more than codes do.
  @Test(arguments: ProductKind.allCases, GEMMVariant.codes)
  func aWrongProductOfCodesIsNamed(_ kind: ProductKind, _ variant: GEMMVariant) throws {
    let device = try Device(threads: 2)
    for product in Self.products {
      let offsets = product.experts == nil ? [0, 150] : [0, 60, 60, 150]
      let numbers = GEMMCase(product, kind, .float32, offsets: offsets, on: device)
      let target = { numbers.sum.map { (Tensor($0.shape, on: device), false) } }
      let (codes, exact) = (Float8Case(variant, of: numbers), numbers.run(into: target()))
      let errors = try codes.check(exact)
      // Three bits of mantissa are not exact.
      #expect(errors.relativeError <= 1e-6 && (1e-5...1e-3).contains(errors.dissimilarity), "\(errors)")
      let found = codes.run(output: .float32, into: target())
      func expectFault(_ measure: String, _ found: Tensor, _ exact: Tensor, within limit: Double) {
        let error = #expect(throws: InexactProduct.self) {
          _ = try codes.check(found, exact, within: limit)
        }
        let text = "\(error.map(String.init(describing:)) ?? "")"
        for word in [product.name, kind.rawValue, variant.rawValue, measure, "not timed"] {
          #expect(text.contains(word), "\(text)")
        }
      }
      for index in [0, found.count - 1] {
        for change in [{ $0 + 0.1 }, { _ in .nan }] as [(Float) -> Float] {
          let wrong = found.copied()
          spoil(wrong, index, change)
          expectFault("relative error", wrong, exact, within: Float8Case.largestError)
        }
      }
      let wrong = exact.copied()
      wrong.scale(by: 1.1)
      expectFault("dissimilarity", found, wrong, within: 1)
    }
  }

  private func attention(_ dtype: DType, interleaved: Bool, on device: Device) -> AttentionCase {
    AttentionCase(
      AttentionShape(
        sequences: 2, queries: 21, keys: 21, heads: 3, nope: 6, rope: 4, value: 5, scale: 0.4,
        interleaved: interleaved), dtype, on: device)
  }

  @Test(arguments: dtypes, [false, true])
  func wrongAttentionIsNamed(_ dtype: DType, _ interleaved: Bool) throws {
    let device = try Device(threads: 2)
    let attention = attention(dtype, interleaved: interleaved, on: device)
    let saved = attention.forward()
    let d = attention.backward(saved)
    try attention.check(saved.o, d)
    func expectFault(_ name: String, _ tensor: Tensor, _ index: Int, _ check: (Tensor) throws -> Void) {
      for change in [{ $0 + 1 }, { _ in .nan }] as [(Float) -> Float] {
        let wrong = tensor.copied()
        spoil(wrong, index, change)
        let error = #expect(throws: WrongResult.self) { try check(wrong) }
        let text = "\(error.map(String.init(describing:)) ?? "")"
        #expect(text.contains("attention \(name) at sequence 21"), "\(text)")
      }
    }
    expectFault("o", saved.o, 0) { try attention.check($0, d) }
    expectFault("dq", d.dq, d.dq.count - 1) { try attention.check(saved.o, ($0, d.dkv, d.dkr)) }
    expectFault("dkv", d.dkv, d.dkv.count - 1) { try attention.check(saved.o, (d.dq, $0, d.dkr)) }
    expectFault("dkr", d.dkr, 20 * 4 + 3) { try attention.check(saved.o, (d.dq, d.dkv, $0)) }
  }

  /// Each token is counted once for each expert that it chooses; the choice is always the same.
  @Test func tokensChooseDistinctExperts() {
    let product = ModelProduct(name: "experts", outputs: 1, inputs: 1, experts: 4, uses: 1)
    for selected in 1...4 {
      let offsets = product.offsets(tokens: 100, selected: selected)
      let counts = zip(offsets.dropFirst(), offsets).map { $0 - $1 }
      #expect(offsets.first == 0 && offsets.last == 100 * selected && offsets.count == 5)
      #expect(counts.allSatisfy { 0...100 ~= $0 }, "\(counts)")
      #expect(offsets == product.offsets(tokens: 100, selected: selected))
    }
    #expect(product.offsets(tokens: 100, selected: 4) == [0, 100, 200, 300, 400])
  }

  /// The mean of many random tokens under initial weights is little above ln V.
  @Test func aFirstLossThatCannotBeIsNamed() throws {
    var model = ModelConfiguration()
    (model.vocabSize, model.hiddenSize, model.initializerRange) = (8192, 512, 0.02)
    let random = FirstLoss(model, tokens: 2048, isSynthetic: true)
    for loss in [9.011, 9.011 + 0.102] { try random.check(loss) }
    for wrong in [8.7, 9.5, 0, -Double.infinity, .nan] {
      let error = #expect(throws: StepError.self) { try random.check(wrong) }
      #expect("\(error.map(String.init(describing:)) ?? "")".contains("on random tokens give 8."))
    }
    let text = FirstLoss(model, tokens: 2048, isSynthetic: false)
    try text.check(7)
    #expect(throws: StepError.self) { try text.check(.nan) }
  }

  @Test func aBreakdownAddsUp() throws {
    let (device, profiler) = (try Device(threads: 1), Profiler())
    device.profiler = profiler
    func kernel(_ scope: String, _ kernel: String, _ kind: Profiler.Kind, flops: Double = 0) {
      profiler.scope = scope
      device.measured(kernel, kind, bytes: 100, flops: flops) {}
    }
    for _ in 0..<2 {
      kernel("linear · forward", "matmul nt", .gemm, flops: 1e9)
      kernel("experts · forward", "grouped nt", .gemm, flops: 3e9)
      kernel("experts · forward", "swiglu", .elementwise)
    }
    let breakdown = StepBreakdown(profiler.entries, steps: 2, seconds: 10)
    #expect(breakdown.seconds == 5 && breakdown.kernels.count == 3 && breakdown.operations.count == 2)
    #expect(
      Set(breakdown.kinds.map(\.kind)) == ["gemm", "elementwise", nil] && breakdown.kinds.last?.kind == nil)
    let products = try #require(breakdown.kinds.first { $0.kind == "gemm" })
    #expect(products.calls == 2 && products.bytes == 200 && products.gigaflop == 4)
    #expect(abs(breakdown.kinds.reduce(0) { $0 + $1.share } - 1) < 1e-12)
    #expect(abs(breakdown.kinds.reduce(0) { $0 + $1.seconds } - 5) < 1e-12)
    let experts = try #require(breakdown.operations.first { $0.operation == "experts · forward" })
    #expect(experts.calls == 2 && experts.gigaflop == 3)
    for word in ["not in kernels", "matmul nt", "GB/s", "GFLOP/s", "ms"] {
      #expect(breakdown.text.contains(word), "\(word)")
    }
  }
}
