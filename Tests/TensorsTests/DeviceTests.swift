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

  @Test func theEnvironmentIsReadOrRefused() throws {
    #expect(try DeviceRequest(environment: [:]) == DeviceRequest())
    let all = try DeviceRequest(environment: ["HADAL_ISA": "avx2", "HADAL_POOL": "plain", "HADAL_PIN": "yes"])
    #expect(all.level == "avx2" && all.hasPlainPool == true && all.pinning == .yes)
    #expect(try DeviceRequest(environment: ["HADAL_PIN": "no"]).pinning == .no)
    for (name, values) in [("HADAL_POOL", ["", "Plain", "slabs"]), ("HADAL_PIN", ["", "1", "Yes", "auto"])] {
      for value in values {
        let error = #expect(throws: DeviceError.self) { try DeviceRequest(environment: [name: value]) }
        #expect(error?.description.contains("\(name)=\(value):") == true)
      }
    }
  }

  @Test func threadsAreAsAskedFor() throws {
    for threads in [1, 3] { #expect(try Device(threads: threads).workers.threads == threads) }
    #expect(try Device().workers.threads >= 1)
  }
}
