import Foundation
import Tensors
import Testing

/// The same bits for any number of threads, although threads split the work at other places.
struct DeterminismTests {
  /// Results by name, as bytes.
  private struct Results {
    private(set) var bytes: [(name: String, data: Data)] = []

    mutating func keep(_ name: String, _ tensor: Tensor) {
      bytes.append((name, Data(bytes: tensor.pointer, count: tensor.byteCount)))
    }
  }

  /// Inputs are made once for all numbers of threads; large enough that every loop is split among seven.
  private struct Inputs {
    let x, h: Sample
    let gain, rowWeights, long, logits: Sample
    let ids: [Int32]

    init(_ dtype: DType) {
      x = Sample([1100, 257], dtype, "determinism x")
      h = Sample([1100, 2 * 131], dtype, "determinism h", scale: 2)
      gain = Sample([257], .float32, "determinism gain")
      rowWeights = Sample([1100], .float32, "determinism weights")
      long = Sample([300_007], .float32, "determinism long", scale: 0.1)
      logits = Sample([1100, 37], .float32, "determinism logits")
      ids = (0..<1100).map { Int32($0 * 7919 % 113) }
    }
  }

  private func run(_ inputs: Inputs, _ kernel: Kernel, threads: Int) throws -> Results {
    let device = try kernel.device(threads: threads)
    var results = Results()
    elementwise(inputs, device, &results)
    rows(inputs, device, &results)
    products(inputs, device, &results)
    optimizer(inputs, kernel.dtype, device, &results)
    routing(inputs, device, &results)
    attend(kernel.dtype, device, &results)
    quantize(inputs, device, &results)
    return results
  }

  private func elementwise(_ inputs: Inputs, _ device: Device, _ results: inout Results) {
    let (x, h) = (inputs.x.tensor(on: device), inputs.h.tensor(on: device))
    let (gain, weights) = (inputs.gain.tensor(on: device), inputs.rowWeights.tensor(on: device))
    results.keep("add", add(x, x))
    let norm = rmsNorm(x, gain: gain, epsilon: 1e-6)
    results.keep("RMSNorm y", norm.y)
    let dnorm = rmsNormGradient(norm.y, x, gain: gain, rstd: norm.rstd, residual: x)
    results.keep("RMSNorm dx", dnorm.dx)
    results.keep("RMSNorm dgain", dnorm.dgain)
    let residual = residualNorm(x, [norm.y], gain: gain, epsilon: 1e-6)
    results.keep("residual RMSNorm s", residual.sum)
    results.keep("residual RMSNorm y", residual.y)
    let a = swiglu(h, weight: weights)
    results.keep("SwiGLU a", a)
    let gradient = swigluGradient(a, h, weight: weights)
    results.keep("SwiGLU dh", gradient.dh)
    results.keep("SwiGLU dweight", gradient.dweight!)
    results.keep("to float", x.converted(to: .float32))
    let long = inputs.long.tensor(on: device)
    results.keep("to bfloat16", long.converted(to: .bfloat16))
    results.keep(
      "sum of squares", Tensor([1], [Float(sumOfSquares([long, h.converted(to: .float32)]))], on: device))
    long.scale(by: 0.37)
    results.keep("scale", long)
  }

  private func rows(_ inputs: Inputs, _ device: Device, _ results: inout Results) {
    let x = inputs.x.tensor(on: device)
    let index = Tensor([1100], inputs.ids, on: device)
    results.keep("gather", gatherRows(x, index))
    results.keep("combine", combineRows(x, positions: index.reshaped([275, 4])))
    let sum = Tensor.zeros([113, 257], on: device)
    scatterAddRows(x, ids: index, into: sum)
    results.keep("scatter add", sum)
    scatterAddRows(x, ids: index, into: sum, accumulate: false)
    results.keep("scatter overwriting", sum)
    let (left, right) = splitColumns(x, at: 130)
    results.keep("split", right)
    results.keep("join", joinColumns(right, left))
  }

  private func products(_ inputs: Inputs, _ device: Device, _ results: inout Results) {
    let all = inputs.x.tensor(on: device)
    let (x, weight) = (all.view(at: 0, [600, 23]), all.view(at: 20_000, [530, 23]))
    let y = matmul(x, weight, .nt)
    results.keep("matmul nt", y)
    results.keep("matmul nn", matmul(y, weight, .nn))
    let sum = Tensor.zeros([530, 23], on: device)
    matmul(y, x, .tn, into: (sum, true))
    results.keep("matmul tn", sum)
    let few = Tensor.zeros([32, 96], on: device)
    matmul(all.view(at: 0, [1100, 32]), all.view(at: 7, [1100, 96]), .tn, into: (few, true))
    results.keep("matmul tn, few sums", few)
    let offsets = [0, 0, 280, 281, 600]
    let experts = all.view(at: 50_000, [4, 65, 23])
    let grouped = groupedMatmul(x, experts, .nt, offsets: offsets)
    results.keep("grouped nt", grouped)
    let wgrad = Tensor.zeros([4, 65, 23], on: device)
    groupedWeightGradient(grouped, x, offsets: offsets, into: (wgrad, true))
    results.keep("grouped Wgrad", wgrad)
    gated(inputs, all, device, &results)
    let dWeight = Tensor.zeros([530, 23], on: device)
    let labels = Tensor([1100], inputs.ids, on: device).view(at: 0, [600])
    let scale = inputs.rowWeights.tensor(on: device).view(at: 0, [600])
    let head = crossEntropyHead(x, weight, labels: labels, scale: scale, gradients: (dWeight, true))
    results.keep("head losses", head.losses)
    results.keep("head dh", head.inputGradient!)
    results.keep("head dW", dWeight)
  }

  private func gated(_ inputs: Inputs, _ all: Tensor, _ device: Device, _ results: inout Results) {
    let (x, weight) = (all.view(at: 0, [600, 23]), inputs.rowWeights.tensor(on: device))
    let tokens = Tensor([600], (0..<600).map { (i: Int) -> Int32 in Int32(i * 37 % 600) }, on: device)
    let offsets = [0, 0, 280, 281, 600]
    let up = groupedSwiGLU(
      x, gathering: tokens, all.view(at: 50_000, [4, 66, 23]), weight: weight, offsets: offsets)
    results.keep("gated a", up.a)
    let gradient = groupedSwiGLUGradient(
      x, gathering: tokens, all.view(at: 90_000, [4, 23, 33]), h: up.h, weight: weight, offsets: offsets)
    results.keep("gated dh", gradient.dh)
    results.keep("gated dweight", gradient.dweight)
  }

  private func optimizer(_ inputs: Inputs, _ dtype: DType, _ device: Device, _ results: inout Results) {
    let count = inputs.long.shape[0]
    let (master, gradient) = (inputs.long.tensor(on: device), inputs.long.tensor(on: device))
    let (m, v) = (Tensor.zeros([count], dtype, on: device), Tensor.zeros([count], dtype, on: device))
    let compute = Tensor([count], .bfloat16, on: device)
    for step in 1...2 {
      adamW(
        [AdamWArrays(master: master, gradient: gradient, m: m, v: v, compute: compute, decays: true)],
        AdamWStep(
          learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, gradientScale: 0.3,
          step: step))
    }
    results.keep("AdamW weights", master)
    results.keep("AdamW m", m)
    results.keep("AdamW v", v)
    results.keep("AdamW compute copy", compute)
  }

  private func routing(_ inputs: Inputs, _ device: Device, _ results: inout Results) {
    for softmax in [false, true] {
      let settings = RouterSettings(
        experts: 37, selected: 5, groups: 1, keptGroups: 1, groupScore: .maximum, softmax: softmax,
        normalize: true, scale: 1)
      let selection = route(
        logits: inputs.logits.tensor(on: device), bias: Tensor.zeros([37], on: device), settings)
      results.keep("route indices", selection.indices)
      results.keep("route weights", selection.weights)
      let balance = inputs.logits.tensor(on: device).view(at: 0, [4, 37])
      results.keep(
        "route gradient", routeGradient(selection, dWeights: selection.weights, balance: balance, settings))
      let shares = routerStatistics(selection, sequences: 4, settings).flatMap { $0.shares.map { Float($0) } }
      results.keep("route shares", Tensor([4, 37], shares, on: device))
    }
  }

  private func attend(_ dtype: DType, _ device: Device, _ results: inout Results) {
    let shape = AttentionShape(
      sequences: 2, queries: 150, keys: 150, heads: 5, nope: 9, rope: 6, value: 11, scale: 0.3,
      interleaved: true)
    let q = Sample([300, 5 * 15], dtype, "determinism q").tensor(on: device)
    let kv = Sample([300, 5 * 20], dtype, "determinism kv").tensor(on: device)
    let kr = Sample([300, 6], dtype, "determinism kr").tensor(on: device)
    let table = RotaryTable(positions: 150, frequencies: [1, 0.1, 0.01], magnitude: 1, on: device)
    let (o, normalizers) = attention(q, kv, kr, shape, table)
    results.keep("attention o", o)
    results.keep("attention normalizers", normalizers)
    let gradient = attentionGradient(o, q, kv, kr, o: o, normalizers: normalizers, shape, table)
    results.keep("attention dq", gradient.dq)
    results.keep("attention dkv", gradient.dkv)
    results.keep("attention dkr", gradient.dkr)
  }

  private func quantize(_ inputs: Inputs, _ device: Device, _ results: inout Results) {
    let (x, settings, counted) = (inputs.x.tensor(on: device), ScaleSettings(), QuantizationStatistics())
    func keep(_ name: String, _ y: QuantizedTensor) {
      results.keep(name, y.codes)
      results.keep(name + " scales", y.scales)
    }
    let rows = quantizeRows(x, settings, statistics: counted)
    keep("quantized rows", rows)
    keep("quantized columns", quantizeColumns(x, offsets: [0, 400, 1100], settings, statistics: counted))
    let both = quantizeRowsAndColumns(x, offsets: [0, 400, 1100], settings, statistics: (counted, counted))
    keep("rows of one pass", both.rows)
    keep("columns of one pass", both.columns)
    keep("requantized columns", requantizeColumns(rows, settings, statistics: counted))
    keep("quantized blocks", quantizeBlocks(x, period: 275, settings, statistics: counted))
    results.keep("dequantized", rows.dequantized(to: .bfloat16))
    let gain = Tensor([x.columns], (0..<x.columns).map { Float($0) - 7 }, on: device)
    keep(
      "coded norm", rmsNorm(x, gain: gain, epsilon: 1e-6, RowCoding(settings, keepsNumbers: false)).y.codes)
    let (o, packedBeside) = quantizeRowsAndPack(x, settings, amaxFloor: 1e-4, statistics: (counted, counted))
    keep("rows beside E5M6", o)
    results.keep("E5M6 beside rows", packedBeside.codes)
    let packed = packE5M6(x, statistics: counted)
    results.keep("E5M6", packed.codes)
    results.keep("E5M6 unpacked", packed.unpacked(to: .float32))
    results.keep("counts", Tensor([2], [Int32(counted.flushed), Int32(counted.elements)], on: device))
  }

  @Test(arguments: Kernel.all)
  func threadsDoNotChangeTheBits(_ kernel: Kernel) throws {
    let inputs = Inputs(kernel.dtype)
    let expected = try run(inputs, kernel, threads: 1)
    for threads in [2, 3, 7] {
      let found = try run(inputs, kernel, threads: threads)
      for (a, b) in zip(found.bytes, expected.bytes) {
        #expect(a.name == b.name && a.data == b.data, "\(b.name) with \(threads) threads")
      }
    }
  }
}
