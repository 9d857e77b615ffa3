import Tensors
import Testing

/// The loops that measure a machine: that they do all of the work that they say.
struct CeilingsTests {
  @Test(arguments: Device.supportedLevels())
  func multiplyAddsAreDoneAndCounted(level: String) throws {
    let device = try Device(threads: 2, level: level)
    for threads in 1...2 {
      for iterations in [1, 3, 20] {
        let work = device.multiplyAdds(iterations: iterations, threads: threads)
        let halves = (0..<iterations).reduce(Float(0)) { sum, _ in sum / 2 + 0.5 }
        #expect(work.values == Array(repeating: halves, count: threads))
        // 2 for a multiply and an add, of at least 4 lanes in at least 8 accumulators.
        let lanes = work.flops / Double(2 * iterations * threads)
        #expect(lanes >= 32 && lanes == lanes.rounded(), "\(lanes) lanes")
      }
      let (once, thrice) = (
        device.multiplyAdds(iterations: 5, threads: threads),
        device.multiplyAdds(iterations: 15, threads: threads)
      )
      #expect(thrice.flops == 3 * once.flops)
    }
  }

  @Test func bfloat16ProductsAreDoneAndCounted() throws {
    let device = try Device(threads: 2)
    guard device.bfloat16Unit != nil else { return }
    for threads in 1...2 {
      let (work, depth) = device.bfloat16Products(iterations: 7, threads: threads)
      #expect(work.values == Array(repeating: Float(7 * depth), count: threads))
      let sums = work.flops / Double(2 * 7 * threads * depth)
      #expect(sums >= 8 * 16 && sums == sums.rounded(), "\(sums) sums")
    }
  }

  /// Whole numbers, so that sums in any order are exact; the elements after the end stay as they were.
  @Test(arguments: Device.supportedLevels(), 1...2)
  func streamsGoThroughAllElements(level: String, threads: Int) throws {
    let device = try Device(threads: 2, level: level)
    let (count, after) = (768, 128)
    func array(_ element: (Int) -> Int) -> Tensor {
      Tensor([count + after], (0..<count + after).map { Float(element($0)) }, on: device)
    }
    func part(_ x: Tensor) -> Tensor { x.view(at: 0, [count]) }
    let (a, b) = (array { $0 % 97 }, array { $0 % 89 - 50 })
    let expected = (0..<count).reduce(0) { $0 + $1 % 97 }
    #expect(device.stream(.read, [part(a)], repeats: 2, threads: threads) == Float(expected))
    for pattern in [StreamPattern.copy, .streamingCopy] {
      let y = array { _ in -1 }
      device.stream(pattern, [part(a), part(y)], repeats: 1, threads: threads)
      #expect(y.floats[..<count].elementsEqual(a.floats[..<count]), "\(pattern)")
      #expect(y.floats[count...].allSatisfy { $0 == -1 }, "\(pattern)")
    }
    let y = array { _ in -1 }
    device.stream(.triad, [part(a), part(b), part(y)], repeats: 3, threads: threads)
    #expect((0..<count).allSatisfy { y.floats[$0] == Float($0 % 97 + 3 * ($0 % 89 - 50)) })
    #expect(y.floats[count...].allSatisfy { $0 == -1 })
  }
}
