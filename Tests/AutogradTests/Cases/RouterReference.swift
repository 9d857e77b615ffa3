import Autograd
import Foundation
import Tensors

/// The router and its balance losses in Double, from the specification's §1.8, §2.2 and §2.4.
struct RouterReference {
  let settings: RouterSettings
  let bias: [Double]
  let balance: BalanceLosses

  /// Of one token.
  func scores(logits: [Double]) -> [Double] {
    guard settings.softmax else { return logits.map(sigmoid) }
    let sum = logits.reduce(0) { $0 + exp($1) }
    return logits.map { exp($0) / sum }
  }

  /// The `count` largest of the candidates, largest first; of equals the first.
  private func largest(_ count: Int, of values: [Double], among candidates: [Int]) -> [Int] {
    Array(candidates.sorted { (-values[$0], $0) < (-values[$1], $1) }.prefix(count))
  }

  /// The experts of one token, by biased scores within the best groups.
  func selected(_ scores: [Double]) -> [Int] {
    let z = zip(scores, bias).map { $0 + $1 }
    let size = settings.experts / settings.groups
    let groupScores = (0..<settings.groups).map { g in
      let sorted = z[g * size..<(g + 1) * size].sorted(by: >)
      return settings.groupScore == .topTwoSum ? sorted[0] + sorted[1] : sorted[0]
    }
    let kept = largest(settings.keptGroups, of: groupScores, among: Array(0..<settings.groups))
    return largest(
      settings.selected, of: z, among: kept.flatMap { $0 * size..<($0 + 1) * size }.sorted())
  }

  func weights(_ scores: [Double]) -> [Double] {
    let chosen = selected(scores).map { scores[$0] }
    let divisor = settings.normalize ? chosen.reduce(1e-20, +) : 1
    return chosen.map { Double(settings.scale) * $0 / divisor }
  }

  /// This micro-batch's part of the mean over the global batch's sequences.
  func balanceLoss(_ scores: [[Double]]) -> Double {
    guard balance.sequence + balance.expert + balance.device + balance.communication > 0 else { return 0 }
    let length = scores.count / balance.sequences
    let losses = (0..<balance.sequences).map { b in
      balanceLoss(ofSequence: Array(scores[b * length..<(b + 1) * length]))
    }
    return losses.reduce(0, +) / Double(balance.globalSequences)
  }

  private func balanceLoss(ofSequence scores: [[Double]]) -> Double {
    let (experts, tokens, devices) = (settings.experts, Double(scores.count), balance.devices)
    let unit = Double(experts) / (Double(settings.selected) * tokens)
    let all = Array(0..<experts)
    func share(_ i: Int) -> Double { scores.reduce(0) { $0 + $1[i] / $1.reduce(0, +) } / tokens }
    let rawly = scores.map { largest(settings.selected, of: $0, among: all) }
    let routes = scores.map(selected)
    let shares = all.map(share)
    let raw = all.map { i in unit * Double(rawly.count { $0.contains(i) }) }
    let routed = all.map { i in unit * Double(routes.count { $0.contains(i) }) }
    var loss = 0.0
    for i in all {
      loss += Double(balance.sequence) * raw[i] * shares[i] + Double(balance.expert) * routed[i] * shares[i]
    }
    for g in 0..<devices {
      let members = Array(g * (experts / devices)..<(g + 1) * (experts / devices))
      let groupShare = members.reduce(0) { $0 + shares[$1] }
      let load = members.reduce(0) { $0 + routed[$1] } / Double(members.count)
      let visits = routes.count { $0.contains { members.contains($0) } }
      let visited = Double(devices * visits) / (Double(balance.reachableDevices) * tokens)
      loss += (Double(balance.device) * load + Double(balance.communication) * visited) * groupShare
    }
    return loss
  }
}
