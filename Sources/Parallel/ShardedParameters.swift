internal import Autograd
package import Communication
package import Model
internal import Tensors

/// ZeRO-1: ranks that hold copies of the same parameters sum their gradients and divide the update.
///
/// Each rank owns an equal run of the elements of every segment of the model: it receives the sum of their gradients,
/// holds their moments, and sends their new values to the others, which wait for those of a segment when the next
/// forward pass comes to it. Who holds copies, ``ReplicaGroups`` says. Sums are in float32 and in the order of the ranks.
/// Source: Rajbhandari et al., arXiv:1910.02054, §5.1; DeepSeek-V3, arXiv:2412.19437, §3.2.
package final class ShardedParameters {
  /// A parameter, the ranks that hold it, and the first element of each one's part, and the end.
  private struct Share {
    let parameter: Parameter
    let group: Communicator
    let offsets: [Int]
  }

  private let shares: [Share]
  private let segments: [Range<Int>]
  private let payload: Payload
  private let waiter: Waiter
  /// The segments whose sums are under way, oldest first.
  private var reductions: [[Request]] = []
  /// Updated elements on their way, by segment.
  private var gathers: [Int: [Request]] = [:]
  /// The first segment whose updated elements are not on their way yet; all ranks take them in this order.
  private var nextGather: Int

  /// Segments under way at most: more would hide no more, and each takes the memory of its gradients again.
  private static let depth = 2
  /// Segments under way beyond the one that is read. Messages of the forward pass wait behind them on the same link.
  private static let ahead = 2
  /// Parts begin at multiples of this many elements: whole cache lines in every type.
  private static let unit = 64

  /// - Parameters:
  ///   - groups: the ranks that hold copies, by segment.
  ///   - payload: what gradients travel as.
  package init(
    _ model: DeepSeek, _ groups: ReplicaGroups, payload: Payload, waiter: Waiter
  ) {
    (self.payload, self.waiter, segments) = (payload, waiter, model.segments)
    nextGather = model.segments.count
    var shares: [Share?] = Array(repeating: nil, count: model.parameters.count)
    for (index, segment) in model.segments.enumerated() {
      for (group, isOfExperts) in [(groups.dense[index], false), (groups.experts[index], true)] {
        guard let group else { continue }
        let members = segment.filter { model.parameters[$0].isOfExperts == isOfExperts }
        let offsets = Self.offsets(members.map { model.parameters[$0].master.count }, ranks: group.size)
        for (member, offsets) in zip(members, offsets) {
          shares[member] = Share(parameter: model.parameters[member], group: group, offsets: offsets)
        }
      }
    }
    self.shares = shares.compactMap { $0 }
    precondition(self.shares.count == shares.count, "a parameter of the model is in no segment")
  }

  /// Cuts the concatenation of arrays into equal parts, and says for each array where the parts begin and the last ends.
  static func offsets(_ counts: [Int], ranks: Int) -> [[Int]] {
    let total = counts.reduce(0, +)
    let cuts = (0...ranks).map { rank in
      rank == ranks ? total : min(total, total * rank / ranks / unit * unit)
    }
    var first = 0
    return counts.map { count in
      defer { first += count }
      return cuts.map { min(max($0 - first, 0), count) }
    }
  }

  /// The elements of each parameter that this rank updates.
  package var owned: [Range<Int>] {
    shares.map { $0.offsets[$0.group.rank]..<$0.offsets[$0.group.rank + 1] }
  }

  /// Sums the gradients of all segments, to which nothing more will be added. Ranks may be done with them in different
  /// orders, so they begin when all are there.
  package func reduceAll() {
    for segment in segments.indices { reduce(segment: segment) }
    finishReductions()
  }

  /// Begins to sum the gradients of a segment, to which nothing more will be added.
  package func reduce(segment: Int) {
    if reductions.count == Self.depth { finishOldest() }
    var requests: [Request] = []
    for index in segments[segment] {
      let share = shares[index]
      guard share.group.size > 1 else { continue }
      let sums = share.parameter.gradient
      requests.append(
        waiter.endingJob(share.group) { () throws(CommunicationError) in
          try share.group.reduceScatter(
            sums.floats, offsets: share.offsets, payload: payload, owner: sums.storage,
            Purpose("gradients of \(share.parameter.name)", .gradients))
        })
    }
    reductions.append(requests)
  }

  /// Waits until the owned elements of all gradients hold their sums.
  package func finishReductions() { while !reductions.isEmpty { finishOldest() } }

  private func finishOldest() {
    waiter.finish(reductions.removeFirst(), of: shares[0].group)
  }

  /// The owned elements have new values. Nothing may read a parameter of a segment before ``finishGather(segment:)``.
  package func ownedDidChange() {
    precondition(
      gathers.isEmpty && nextGather == segments.count, "a second update before the first has arrived")
    nextGather = 0
  }

  /// Begins to bring the updated elements to all ranks that hold a copy, in the type that operations read: those of the
  /// first segments. Others follow as ``finishGather(segment:)`` comes near them.
  package func startGather() { gather(through: Self.ahead) }

  /// The same for all that is left: before a wait for a rank that may itself wait for one of them.
  package func startAllGathers() { gather(through: segments.count - 1) }

  private func gather(through last: Int) {
    while nextGather <= min(last, segments.count - 1) {
      let indices = segments[nextGather]
      if !indices.isEmpty { gathers[nextGather] = indices.compactMap(gather) }
      nextGather += 1
    }
  }

  private func gather(_ index: Int) -> Request? {
    let share = shares[index]
    guard share.group.size > 1 else { return nil }
    let target = share.parameter.gathered
    let bytes = target.dtype.byteCount
    return waiter.endingJob(share.group) { () throws(CommunicationError) in
      try share.group.allGather(
        target.buffer, offsets: share.offsets.map { $0 * bytes }, owner: target.storage,
        Purpose("updated \(share.parameter.name)", .parameters))
    }
  }

  /// Waits for the updated elements of a segment, and brings up to date what is made from them; once is enough.
  package func finishGather(segment: Int) {
    gather(through: segment + Self.ahead)
    guard let requests = gathers.removeValue(forKey: segment) else { return }
    waiter.finish(requests, of: shares[0].group)
    for share in shares[segments[segment]] {
      // Of a matrix that has left FP8 the parameter itself makes the copy, whoever updates it.
      if share.group.size > 1, share.parameter.float8 != nil {
        share.parameter.roundedCopy?.convert(from: share.parameter.master)
      }
      share.parameter.numbersDidChange()
    }
  }

  /// The same for all segments: for whoever reads parameters otherwise than in the order of a forward pass.
  package func finishGathers() { for segment in segments.indices { finishGather(segment: segment) } }
}

extension Parameter {
  /// What other ranks need of an update: numbers as operations read them. Codes follow from the master weights.
  fileprivate var gathered: Tensor { declaredFloat8 != nil ? master : roundedCopy ?? master }
}
