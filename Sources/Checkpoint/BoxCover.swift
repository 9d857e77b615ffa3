/// A part of a tensor that is not covered exactly once.
package struct CoverFault: Equatable {
  package let region: Box
  /// How many slices cover every element of `region`: 0, or more than 1.
  package let times: Int
}

/// Finds a part of `region` that `boxes` do not cover exactly once; nil if there is none.
///
/// Divides the region along the boxes' faces until each box fills it or misses it. Where the volumes
/// already do not add up, a fault is certain, so that part is searched first and a broken manifest is
/// refused quickly.
package func coverFault(of region: Box, by boxes: [Box]) -> CoverFault? {
  let clipped = boxes.compactMap { $0.intersection(region) }
  guard !clipped.isEmpty else { return CoverFault(region: region, times: 0) }
  guard let (dimension, cut) = dividingFace(of: region, among: clipped) else {
    return clipped.count == 1 ? nil : CoverFault(region: region, times: clipped.count)
  }
  let (below, above) = region.divided(dimension, at: cut)
  // Only a hint where to look first, so it may wrap around when boxes pile up.
  let covered = clipped.reduce(0) { $0 &+ ($1.intersection(below)?.count ?? 0) }
  let parts = covered == below.count ? [above, below] : [below, above]
  for part in parts {
    if let fault = coverFault(of: part, by: clipped) { return fault }
  }
  return nil
}

/// A face of some box inside the region, the middle one of the dimension that has most of them.
private func dividingFace(of region: Box, among boxes: [Box]) -> (dimension: Int, cut: Int)? {
  var best: (dimension: Int, faces: [Int])?
  for dimension in region.shape.indices {
    let inside = region.offset[dimension] + 1..<region.end(dimension)
    let faces = Set(boxes.flatMap { [$0.offset[dimension], $0.end(dimension)] }.filter(inside.contains))
    if faces.count > best?.faces.count ?? 0 { best = (dimension, faces.sorted()) }
  }
  return best.map { ($0.dimension, $0.faces[$0.faces.count / 2]) }
}
