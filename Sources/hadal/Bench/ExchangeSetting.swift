internal import Numerics
internal import Tensors

/// In how many hops rows reach their ranks.
enum ExchangeLevels: String, CaseIterable, Encodable { case one, two }

/// What each rank exchanges. Shapes: T tokens of a rank, K experts of a token, D its width.
struct ExchangeSetting {
  let tokens, hidden, selected, experts, groups, keptGroups: Int
  let payload: BenchExchange.Payload

  init(_ options: BenchExchange, tokens: Int, payload: BenchExchange.Payload) {
    (self.tokens, self.payload) = (tokens, payload)
    (hidden, selected, experts) = (options.hidden, options.topK, options.experts)
    (groups, keptGroups) = (options.groups, options.keptGroups)
  }

  /// Bytes of a row on the way out, with weights and experts, and on the way back.
  var rowBytes: (dispatch: Int, combine: Int) {
    let numbers = hidden * payload.numbers.byteCount
    let row = payload == .fp8 ? hidden + 4 * QuantizedTensor.tiles(hidden) : numbers
    return (row + 8 * selected, numbers)
  }

  /// `[T, K]` int32: for each token some groups, and of their experts some, all equally likely.
  func indices(rank: Int, on device: Device) -> Tensor {
    var generator = PhiloxGenerator(name: "exchange, rank \(rank)")
    var (groups, order) = (Array(0..<groups), [Int]())
    let size = experts / self.groups
    let chosen = Tensor([tokens, selected], .int32, on: device)
    let index = chosen.elements(Int32.self)
    for t in 0..<tokens {
      groups.choose(keptGroups, using: &generator)
      order = groups.prefix(keptGroups).flatMap { $0 * size..<($0 + 1) * size }
      order.choose(selected, using: &generator)
      for k in 0..<selected { index[t * selected + k] = Int32(order[k]) }
    }
    return chosen
  }

  /// `[T, D]`: whole numbers up to 8, of which E4M3 codes and sums of 32 in bfloat16 are exact.
  func rows(rank: Int, on device: Device) -> Tensor {
    let x = Tensor([tokens, hidden], on: device)
    let values = x.floats
    for t in 0..<tokens {
      for d in 0..<hidden { values[t * hidden + d] = Float((rank * 5 + t * 3 + d * 7) % 17 - 8) }
    }
    return x.converted(to: payload.numbers)
  }

  /// `[T, K]`: numbers that few others are equal to.
  func weights(rank: Int, on device: Device) -> Tensor {
    let weights = Tensor([tokens, selected], on: device)
    for i in 0..<weights.count { weights.floats[i] = Float(1 + (rank * weights.count + i) % 4093) / 4096 }
    return weights
  }
}

extension [Int] {
  /// Brings as many to the front, all choices equally likely.
  fileprivate mutating func choose(_ count: Int, using generator: inout PhiloxGenerator) {
    for k in 0..<count { swapAt(k, Int.random(in: k..<self.count, using: &generator)) }
  }
}

/// The same numbers each time.
private struct PhiloxGenerator: RandomNumberGenerator {
  private let numbers: Philox
  private var place: UInt64 = 0

  init(name: String) { numbers = Philox(seed: 0, name: name) }

  mutating func next() -> UInt64 {
    defer { place += 1 }
    let block = numbers.block(place)
    return UInt64(block.0) << 32 | UInt64(block.1)
  }
}
