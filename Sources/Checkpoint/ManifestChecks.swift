extension Manifest {
  /// Requires what no single value can show: names that are unique and safe, slices that cover every
  /// tensor.
  ///
  /// - Throws: `CheckpointError` of kind `.malformed` that names the file or tensor.
  func validate(path: String) throws(CheckpointError) {
    func fault(_ message: String) -> CheckpointError { CheckpointError(.malformed, path: path, message) }
    for (name, value) in [("step", step), ("tokens", tokens), ("next_sample", nextSample)] where value < 0 {
      throw fault("\(name) is \(value)")
    }
    var fileNames: Set<String> = []
    for file in files {
      guard isPlainFileName(file.name) else {
        throw fault(
          "\(quoted(file.name)) is not the name of a *.safetensors file in the checkpoint's directory")
      }
      guard fileNames.insert(file.name).inserted else { throw fault("the file \(file.name) is listed twice") }
      let digits = file.digest.sha256.utf8
      guard digits.count == 64, digits.allSatisfy("0123456789abcdef".utf8.contains) else {
        throw fault("the sha256 of \(file.name) is not 64 hexadecimal digits")
      }
    }
    var names: Set<String> = []
    var places: Set<[String]> = []
    for tensor in tensors {
      let name = quoted(tensor.record.name)
      guard names.insert(tensor.record.name).inserted else {
        throw fault("the tensor \(name) is listed twice")
      }
      for slice in tensor.slices {
        guard fileNames.contains(slice.file) else {
          throw fault("\(name) has a slice in \(quoted(slice.file)), which is not one of the files")
        }
        guard places.insert([slice.file, slice.key]).inserted else {
          throw fault("\(name) has a slice \(quoted(slice.key)) in \(slice.file) that is used twice")
        }
      }
      if let reason = tensor.coverFault { throw fault("\(name) \(tensor.record.shape): \(reason)") }
    }
  }
}

extension Manifest.Tensor {
  /// Why the slices do not cover each element exactly once; nil if they do. An empty tensor has one empty
  /// slice.
  fileprivate var coverFault: String? {
    for slice in slices where !slice.box.isInside(record.shape) {
      return "a slice at \(slice.box.offset) of shape \(slice.box.shape) is not inside it"
    }
    let whole = Box(record.shape)
    if whole.count == 0 {
      return slices.map(\.box) == [whole] ? nil : "an empty tensor has one slice, all of it"
    }
    if let empty = slices.first(where: { $0.box.count == 0 }) { return "the slice \(empty.key) is empty" }
    return Checkpoint.coverFault(of: whole, by: slices.map(\.box)).map { fault in
      "its elements \(fault.region) are covered \(fault.times) times, not once"
    }
  }
}
