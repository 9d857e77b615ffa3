/// A tensor under the name that files call it.
package struct NamedTensor {
  package let name: String
  package let tensor: Tensor
  package init(name: String, tensor: Tensor) { (self.name, self.tensor) = (name, tensor) }
}
