import Autograd
import Tensors
import Testing

/// Weight gradients that are put off are the same ones.
struct DeferralTests {
  /// Each parameter of the small network is used once, so the order of the work does not change any sum.
  @Test(arguments: ["as returned", "reversed", "interleaved"])
  func anyOrderGivesTheSameBits(_ order: String) throws {
    let (device, network) = (try Device(threads: 2), SmallNetwork())
    let expected = network.eager(on: device)
    let graph = Graph(network.leaves, on: device)
    let root = (network.record(graph).output, network.outputGradient(on: device))
    var work = graph.tape.inputGradients(from: [root])
    for leaf in network.leaves where leaf.role == .parameter {
      #expect(graph.gradient(leaf)!.allSatisfy { $0 == 0 }, "\(leaf.name) has a gradient before its work ran")
    }
    switch order {
    case "reversed": work.reverse()
    case "interleaved":
      work =
        work.indices.filter { $0 % 2 == 1 }.map { work[$0] }
        + work.indices.filter { $0 % 2 == 0 }.map { work[$0] }
    default: break
    }
    for item in work { item.run() }
    for (leaf, (found, value)) in zip(network.leaves, zip(network.gradients(graph), expected)) {
      #expect(firstDifferentBits(found, value) == nil, "\(leaf.name)")
    }
  }

  /// Backward runs from the last operation to the first, and so does the list of work.
  @Test func workIsNamedAndOrdered() throws {
    let (device, network) = (try Device(threads: 1), SmallNetwork())
    let graph = Graph(network.leaves, on: device)
    let root = (network.record(graph).output, network.outputGradient(on: device))
    let work = graph.tape.inputGradients(from: [root])
    #expect(
      work.map(\.operation) == [
        "addition", "addition", "experts", "router", "linear", "SwiGLU", "linear", "RMSNorm",
      ])
  }

  /// Two micro-batches in flight, as in a pipeline: the second runs forward before the first runs backward,
  /// and all weight work comes at the end.
  @Test func tapesDoNotDisturbEachOther() throws {
    let (device, network) = (try Device(threads: 2), SmallNetwork())
    let once = network.eager(on: device)
    let graph = Graph(network.leaves, on: device)
    let dy = network.outputGradient(on: device)
    let first = network.record(graph)
    let tape = Tape(on: device)
    let x = Variable(graph.variable("x").value)
    let second = tape.apply(Linear.self, (x, graph.parameter("w1"))).output
    var work = graph.tape.inputGradients(from: [(first.output, dy)])
    work += tape.inputGradients(from: [(second, Tensor.zeros(second.value.shape, on: device))])
    for item in work { item.run() }
    // The second micro-batch's gradient is zero, so the sums are those of the first.
    for (leaf, (found, value)) in zip(network.leaves, zip(network.gradients(graph), once)) {
      #expect(firstDifferentBits(found, value) == nil, "\(leaf.name)")
    }
    #expect(x.gradient!.numbers.allSatisfy { $0 == 0 })
  }

  /// Every operation alone: putting its weight gradient off changes nothing.
  @Test(arguments: OperationCase.all.map(\.title))
  func everyOperationCanWait(_ title: String) throws {
    let (operation, device) = (OperationCase.named(title), try Device(threads: 2))
    let eager = operation.run(on: device)
    let deferred = operation.run(on: device) { graph, output, dy in
      let work = graph.tape.inputGradients(from: [(output, dy)])
      // A case of several outputs joins them by another operation, which runs backward first.
      #expect(work.last?.operation == operation.operation)
      for item in work { item.run() }
    }
    for (leaf, (found, expected)) in zip(operation.leaves, zip(deferred.gradients, eager.gradients)) {
      #expect(firstDifferentBits(found, expected) == nil, "\(leaf.name)")
    }
  }

  /// A queue gives the same bits, whoever runs its works, and runs them in the order in which they came.
  @Test func aQueueRunsTheOldestFirst() throws {
    let (device, network) = (try Device(threads: 2), SmallNetwork())
    let expected = network.eager(on: device)
    let (graph, queue) = (Graph(network.leaves, on: device), WeightQueue())
    var passed: [String] = []
    graph.tape.whenPassed { passed.append("first operation") }
    let output = network.record(graph).output
    graph.tape.whenPassed { passed.append("last operation") }
    graph.tape.backward(from: [(output, network.outputGradient(on: device))], leavingTo: queue)
    #expect(passed == [] && !queue.isEmpty)
    #expect(queue.runNext())
    #expect(passed == ["last operation"])
    queue.runAll()
    #expect(passed == ["last operation", "first operation"] && queue.isEmpty && !queue.runNext())
    for (leaf, (found, value)) in zip(network.leaves, zip(network.gradients(graph), expected)) {
      #expect(firstDifferentBits(found, value) == nil, "\(leaf.name)")
    }
  }
}
