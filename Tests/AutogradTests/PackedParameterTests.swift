import Autograd
import Tensors
import Testing

/// Parameters whose panels are kept: no product reads those of older numbers.
struct PackedParameterTests {
  @Test(arguments: [DType.float32, .bfloat16])
  func theNewWeightIsReadAfterAChange(_ compute: DType) throws {
    let (device, shape) = (try Device(threads: 2), [50, 40])
    let parameter = Parameter(
      name: "w", parts: [.init(name: "w", offset: 0, shape: shape)], shape: shape, compute: compute,
      packedFor: [.nt, .nn], on: device)
    let x = Tensor([30, 40], randomNumbers(1200, "x"), on: device).converted(to: compute)
    let dy = Tensor([30, 50], randomNumbers(1500, "dy"), on: device).converted(to: compute)
    var outputs: [[Float]] = []
    for change in 1...3 {
      parameter.master.convert(from: Tensor(shape, randomNumbers(2000, "w\(change)"), on: device))
      if change < 3 {
        parameter.masterDidChange()
      } else {
        // As after the optimizer, which writes both.
        parameter.roundedCopy?.convert(from: parameter.master)
        parameter.numbersDidChange()
      }
      let inputs = (x: Variable(x), weight: parameter)
      for _ in 1...2 {
        let y = Linear.forward(inputs, recording: true).output.numbers
        #expect(y == matmul(x, parameter.value, .nt).numbers)
        let dx = Linear.inputGradient(dy, inputs, ()).gradients[0].numbers
        #expect(dx == matmul(dy, parameter.value, .nn).numbers)
        outputs.append(y + dx)
      }
    }
    #expect(outputs[0] == outputs[1] && outputs[1] != outputs[2] && outputs[3] != outputs[4])
  }
}
