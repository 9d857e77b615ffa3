/// Copies the elements that two dense row-major arrays have in common.
///
/// - Parameters:
///   - source: The elements of `sourceBox`.
///   - destination: Takes the elements of `destinationBox`; those outside `sourceBox` are left alone.
///   - width: Bytes of one element.
func copyCommonElements(
  from source: UnsafeRawBufferPointer, of sourceBox: Box,
  to destination: UnsafeMutableRawBufferPointer, of destinationBox: Box, width: Int
) {
  guard let common = sourceBox.intersection(destinationBox) else { return }
  // Trailing dimensions that both arrays share in full are one contiguous run.
  var outer = common.shape.count
  var run = width
  while outer > 0 {
    outer -= 1
    run *= common.shape[outer]
    let whole = common.shape[outer]
    if sourceBox.shape[outer] != whole || destinationBox.shape[outer] != whole { break }
  }
  var index = Array(common.offset[..<outer])
  let tail = common.offset[outer...]
  while true {
    let from = sourceBox.offset(of: index + tail) * width
    let to = destinationBox.offset(of: index + tail) * width
    UnsafeMutableRawBufferPointer(rebasing: destination[to..<to + run]).copyMemory(
      from: UnsafeRawBufferPointer(rebasing: source[from..<from + run]))
    guard let next = index.indices.last(where: { index[$0] + 1 < common.end($0) }) else { return }
    index[next] += 1
    for dimension in next + 1..<outer { index[dimension] = common.offset[dimension] }
  }
}
