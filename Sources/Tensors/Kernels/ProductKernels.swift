internal import CKernels

extension Device {
  /// The kernels for products of operands of these types: those that bfloat16 can hold may be multiplied as
  /// pairs.
  func products(_ a: DType, _ b: DType) -> hadal_product_kernels {
    let isExact = { (dtype: DType) in dtype == .bfloat16 || dtype == .float8 }
    return isExact(a) && isExact(b) ? kernels.pointee.pair_products : kernels.pointee.float_products
  }
}

extension hadal_product_kernels {
  /// Bytes of a number in a panel.
  var elementBytes: Int { element == hadal_float32 ? 4 : 2 }

  /// How many k a packed panel holds: padded with zeros to whole units.
  func padded(_ k: Int) -> Int { (k + Int(unit) - 1) / Int(unit) * Int(unit) }

  /// n rounded up to whole panels of B.
  func paddedColumns(_ n: Int) -> Int { (n + Int(columns) - 1) / Int(columns) * Int(columns) }

  /// How operands of a type are packed.
  func packing(_ dtype: DType) -> hadal_packing { dtype == .float32 ? float32 : bfloat16 }

  /// How operands that were decoded to numbers of this kind are packed.
  func packing(of element: hadal_storage) -> hadal_packing { element == hadal_float32 ? float32 : bfloat16 }
}

extension Tensor {
  /// The type as the kernels name it.
  var storageType: hadal_storage { dtype == .float32 ? hadal_float32 : hadal_bfloat16 }
}
