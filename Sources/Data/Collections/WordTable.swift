/// Numbers distinct byte strings 0, 1, 2, … in the order of their first appearance.
///
/// A hash table with open addressing over one arena of bytes, so that looking a word up allocates nothing.
struct WordTable {
  private var arena: [UInt8] = []
  private var ends: [Int] = []
  private var hashes: [UInt64] = []
  /// Word numbers, −1 where free; the count is a power of two, at most half of it used.
  private var slots: [Int32] = Array(repeating: -1, count: 1024)

  var count: Int { ends.count }

  func bytes(of word: Int) -> ArraySlice<UInt8> { arena[(word == 0 ? 0 : ends[word - 1])..<ends[word]] }

  /// The number of the word, and whether it is new.
  mutating func number(of word: UnsafeBufferPointer<UInt8>) -> (number: Int, isNew: Bool) {
    var hash = FNV1a()
    hash.combine(word)
    let key = hash.value.mixed
    var slot = Int(truncatingIfNeeded: key) & (slots.count - 1)
    while slots[slot] >= 0 {
      let number = Int(slots[slot])
      if hashes[number] == key, bytes(of: number).elementsEqual(word) { return (number, false) }
      slot = (slot + 1) & (slots.count - 1)
    }
    arena.append(contentsOf: word)
    ends.append(arena.count)
    hashes.append(key)
    slots[slot] = Int32(ends.count - 1)
    if 2 * ends.count > slots.count { grow() }
    return (ends.count - 1, true)
  }

  private mutating func grow() {
    slots = Array(repeating: -1, count: 2 * slots.count)
    for (number, key) in hashes.enumerated() {
      var slot = Int(truncatingIfNeeded: key) & (slots.count - 1)
      while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = Int32(number)
    }
  }
}
