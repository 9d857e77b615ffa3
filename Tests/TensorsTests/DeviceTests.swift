import Tensors
import Testing

/// Which kernels a device has.
struct DeviceTests {
  @Test func portableAndTheEmulatedTilesAreAlwaysThere() {
    #expect(Set(["portable", "emulated"]).isSubset(of: Device.supportedLevels()))
    #expect(Device.supportedLevels().last == "emulated")
    #expect(Set(Device.supportedLevels()).count == Device.supportedLevels().count)
  }

  @Test func theBestLevelIsTheDefault() throws {
    #expect(try Device(threads: 1).level == Device.supportedLevels()[0])
    for level in Device.supportedLevels() { #expect(try Device(threads: 1, level: level).level == level) }
  }

  @Test(arguments: ["avx1024", "", "AVX2"])
  func unknownLevelsAreRefusedWithTheList(level: String) {
    let error = #expect(throws: DeviceError.self) { try Device(threads: 1, level: level) }
    guard case .unknownLevel(let name, let supported) = error else { return #expect(Bool(false), "\(level)") }
    #expect(name == level)
    #expect(supported == Device.supportedLevels())
    for known in Device.supportedLevels() { #expect(error?.description.contains(known) == true) }
    #expect(error?.description.contains("HADAL_ISA=\(level)") == true)
  }

  @Test func onlyThePlainPoolCanBeAskedFor() throws {
    #expect(try !Device.isPoolPlain(nil))
    #expect(try Device.isPoolPlain("plain"))
    for value in ["", "Plain", "slabs"] {
      let error = #expect(throws: DeviceError.self) { try Device.isPoolPlain(value) }
      #expect(error?.description.contains("HADAL_POOL=\(value)") == true)
    }
  }

  @Test func threadsAreAsAskedFor() throws {
    for threads in [1, 3] { #expect(try Device(threads: threads).workers.threads == threads) }
    #expect(try Device().workers.threads >= 1)
  }
}
