import Autograd
import Tensors
import Testing

/// Values that were forgotten are computed again, with the same bits.
struct RecomputationTests {
  private let device: Device
  init() throws { device = try Device(threads: 2) }

  @Test(arguments: [false, true])
  func gradientsHaveTheSameBits(deferring: Bool) {
    let network = SmallNetwork()
    let expected = network.eager(on: device)
    let graph = Graph(network.leaves, on: device)
    let recorded = network.record(graph)
    let before = device.pool.liveBytes
    for variable in recorded.forgettable { variable.forget() }
    let forgotten = recorded.forgettable.map { $0.value.count }
    #expect(forgotten == [77, 110, 55])
    for variable in recorded.forgettable { variable.forget() }
    #expect(device.pool.liveBytes < before, "nothing was given back")
    let root = (recorded.output, network.outputGradient(on: device))
    for work in graph.tape.backward(from: [root], deferring: deferring) { work.run() }
    for (leaf, (found, value)) in zip(network.leaves, zip(network.gradients(graph), expected)) {
      #expect(firstDifferentBits(found, value) == nil, "\(leaf.name)")
    }
  }

  /// An operation with an output that can be forgotten gives the same output again.
  @Test(arguments: OperationCase.all.map(\.title).filter { !$0.hasPrefix("cross-entropy") })
  func outputsHaveTheSameBits(_ title: String) {
    let operation = OperationCase.named(title)
    let output = operation.record(Graph(operation.leaves, on: device)).output
    let before = output.value.numbers
    output.forget()
    #expect(firstDifferentBits(output.value.numbers, before) == nil)
  }

  /// The routing was counted when it was recorded; computing the weights again does not make another plan.
  @Test func routingIsNotCountedTwice() {
    let network = SmallNetwork()
    let graph = Graph(network.leaves, on: device)
    let recorded = network.record(graph)
    let counts = recorded.plan.counts
    for variable in recorded.forgettable { variable.forget() }
    graph.tape.backward(from: [(recorded.output, network.outputGradient(on: device))])
    #expect(recorded.plan.counts == counts)
    #expect(counts.reduce(0, +) == 11 * 2)
  }

  /// A leaf has no recipe: forgetting it keeps it.
  @Test func leavesAreKept() {
    let leaf = Variable(Tensor([2], [1, 2] as [Float], on: device))
    leaf.forget()
    #expect(leaf.value.numbers == [1, 2])
  }
}
