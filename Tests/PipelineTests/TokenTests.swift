import Testing

@testable import Pipeline

struct TokenTests {
  @Test func tokensAreThoseOfTheOracle() {
    let (a, b) = (Cell(slot: 0, microbatch: 3), Cell(slot: 1, microbatch: 12))
    let tokens: [(Action, String)] = [
      (.forward(a), "F0.3"), (.backward(b), "B1.12"), (.inputGradient(a), "I0.3"),
      (.weightGradient(b), "W1.12"), (.overlapped(forward: a, backward: b), "F0.3&B1.12"),
    ]
    for (action, token) in tokens {
      #expect(action.description == token)
      #expect(Action(token) == action)
    }
  }

  @Test(arguments: [
    "", "F", "F0", "F0.", "F.3", "0.3", "f0.3", "X0.3", "F0.3.1", "F0.3&", "F0.3&F1.1", "B0.3&F1.1",
    "F0.3&I1.1",
    "F0.3&B1.1&B1.2", "F0.03", "F+0.3", "F0.-", "F 0.3", "F0.3 ", "F0.٣", "&", "F0.3&B1.x",
    "F99999999999999999999.0",
  ])
  func otherTextIsNoToken(text: String) { #expect(Action(text) == nil) }

  @Test func partsOfActions() {
    let (a, b) = (Cell(slot: 0, microbatch: 3), Cell(slot: 1, microbatch: 1))
    let parts = { (action: Action) in [action.forwardCell, action.gradientCell, action.weightCell] }
    #expect(parts(.forward(a)) == [a, nil, nil])
    #expect(parts(.backward(a)) == [nil, a, a])
    #expect(parts(.inputGradient(a)) == [nil, a, nil])
    #expect(parts(.weightGradient(a)) == [nil, nil, a])
    #expect(parts(.overlapped(forward: a, backward: b)) == [a, b, b])
  }
}
