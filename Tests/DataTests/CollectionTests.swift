import Testing

@testable import Data

@Suite struct CollectionTests {
  @Test func heapSorts() {
    var generator = SystemRandomNumberGenerator()
    for count in [0, 1, 2, 3, 100] {
      let numbers = (0..<count).map { _ in Int.random(in: 0..<50, using: &generator) }
      var heap = BinaryHeap<Int>()
      for number in numbers { heap.push(number) }
      var sorted: [Int] = []
      while let number = heap.pop() { sorted.append(number) }
      #expect(sorted == numbers.sorted())
    }
  }

  @Test func wordTableNumbersByFirstAppearance() {
    var table = WordTable()
    var expected: [[UInt8]: Int] = [:]
    for index in 0..<5000 {
      let word = Array("w\(index * 7919 % 1700)".utf8)
      let isKnown = expected[word] != nil
      let number = expected[word] ?? expected.count
      expected[word] = number
      let found = word.withUnsafeBufferPointer { table.number(of: $0) }
      #expect(found.number == number && found.isNew == !isKnown)
    }
    for (word, number) in expected { #expect(table.bytes(of: number).elementsEqual(word)) }
    let empty = [UInt8]().withUnsafeBufferPointer { table.number(of: $0) }
    #expect(empty == (1700, true))
  }
}
