import Tensors
import Testing

/// SwiGLU that follows a product of experts in the same loop gives the bits of the one after the other.
struct GatedProductsTests {
  /// Sizes whose columns fit one block, that take several, and whose sums take several runs of k.
  struct Size: CustomTestStringConvertible {
    let width, inner: Int
    var testDescription: String { "\(width) wide, \(inner) within" }
  }

  private static let sizes = [
    Size(width: 37, inner: 19), Size(width: 24, inner: 530), Size(width: 1041, inner: 17),
  ]
  private static let offsets = [0, 0, 5, 290, 291, 291]
  private static let tokens: [Int32] = (0..<291).map { (i: Int) -> Int32 in Int32((i * 37 + i / 9) % 150) }

  @Test(arguments: Kernel.all, sizes)
  func bitsAreThoseOfTheSteps(_ kernel: Kernel, _ size: Size) throws {
    let (device, rows, experts) = (try kernel.device(), Self.tokens.count, Self.offsets.count - 1)
    let gathering = Tensor([rows], Self.tokens, on: device)
    let weight = Sample([rows], .float32, "gated weight").tensor(on: device)
    let x = Sample([150, size.width], kernel.dtype, "gated x").tensor(on: device)
    let gateUp = Sample([experts, 2 * size.inner, size.width], kernel.dtype, "gated up").tensor(on: device)
    let fused = groupedSwiGLU(x, gathering: gathering, gateUp, weight: weight, offsets: Self.offsets)
    let h = groupedMatmul(x, gathering: gathering, gateUp, .nt, offsets: Self.offsets)
    #expect(fused.h.shape == h.shape && fused.h.numbers == h.numbers)
    let a = swiglu(h, weight: weight)
    #expect(fused.a.shape == a.shape && fused.a.numbers == a.numbers)

    let dy = Sample([150, size.width], kernel.dtype, "gated dy").tensor(on: device)
    let down = Sample([experts, size.width, size.inner], kernel.dtype, "gated down").tensor(on: device)
    let gradient = groupedSwiGLUGradient(
      dy, gathering: gathering, down, h: h, weight: weight, offsets: Self.offsets)
    let da = groupedMatmul(dy, gathering: gathering, down, .nn, offsets: Self.offsets)
    let steps = swigluGradient(da, h, weight: weight)
    #expect(gradient.dh.numbers == steps.dh.numbers)
    #expect(gradient.dweight.numbers == steps.dweight?.numbers)
    #expect(gradient.a.numbers == steps.a?.numbers)
  }
}
