internal import Glibc
internal import Synchronization

/// Memory of one rank that the ranks of its node map: this rank's own, or another one's, to be read.
///
/// It begins with a number that names it and with marks, by which its owner tells others what it has read of theirs. It
/// is a file without a name, which takes memory where it is written, and which goes with the last process that has it.
final class SharedSegment {
  /// Where a rank finds another one's segment.
  struct Location: BitwiseCopyable {
    var process: Int
    var descriptor: Int
    var byteCount: Int
    var name: UInt64

    /// Of a rank that has none.
    static let none = Location(process: 0, descriptor: -1, byteCount: 0, name: 0)
  }

  /// Why there is none, for a person.
  struct Fault: Error { let reason: String }

  /// Loans of one rank that can be out at a time.
  static let slots = 64
  static let page = 4096
  /// A longer one would not fit into the address space, once for each of hundreds of ranks.
  private static let longest = 256 << 30

  private let base: UnsafeMutableRawPointer
  private let byteCount: Int
  /// Bytes before those that are lent.
  private let head: Int
  private let descriptor: Int32
  let location: Location

  /// This rank's own, as long as the machine's memory.
  /// - Parameter ranks: of the node.
  init(ranks: Int) throws(Fault) {
    let memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    byteCount = min(memory, Self.longest) / Self.page * Self.page
    head = Self.headBytes(ranks)
    descriptor = try Self.createFile(byteCount)
    base = try Self.map(descriptor, byteCount, PROT_READ | PROT_WRITE)
    let name = UInt64.random(in: 1...UInt64.max)
    base.storeBytes(of: name, as: UInt64.self)
    location = Location(process: Int(getpid()), descriptor: Int(descriptor), byteCount: byteCount, name: name)
  }

  /// Another rank's.
  init(reading location: Location, ranks: Int) throws(Fault) {
    self.location = location
    (byteCount, head) = (location.byteCount, Self.headBytes(ranks))
    guard location.descriptor >= 0 else { throw Fault(reason: "it offers none") }
    let path = "/proc/\(location.process)/fd/\(location.descriptor)"
    // In another process namespace that number may be anything's.
    descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.fault("open of \(path)") }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      Int(status.st_size) == byteCount, byteCount > head
    else {
      close(descriptor)
      throw Fault(reason: "\(path) is something else")
    }
    base = try Self.map(descriptor, byteCount, PROT_READ)
    guard base.load(as: UInt64.self) == location.name else { throw Fault(reason: "\(path) is another one's") }
  }

  deinit {
    munmap(base, byteCount)
    close(descriptor)
  }

  /// Bytes that can be lent, and where they begin.
  var room: Int { byteCount - head }
  var data: UnsafeMutableRawPointer { base + head }

  /// The last loan in this slot of this rank of the node which the segment's owner has given back.
  func mark(of rank: Int, slot: Int) -> UnsafeMutablePointer<Atomic<Int>> {
    let marks = (base + 64).assumingMemoryBound(to: Atomic<Int>.self)
    return marks + rank * Self.slots + slot
  }

  private static func headBytes(_ ranks: Int) -> Int {
    let bytes = 64 + ranks * slots * MemoryLayout<Int>.stride
    return (bytes + page - 1) / page * page
  }

  /// Closes the file when it fails.
  private static func map(
    _ file: Int32, _ byteCount: Int, _ access: Int32
  ) throws(Fault) -> UnsafeMutableRawPointer {
    let address = mmap(nil, byteCount, access, MAP_SHARED, file, 0)
    guard let address, address != MAP_FAILED else {
      let fault = fault("mmap of \(byteCount >> 30) GB")
      close(file)
      throw fault
    }
    return address
  }

  private static func createFile(_ byteCount: Int) throws(Fault) -> Int32 {
    typealias Create = @convention(c) (UnsafePointer<CChar>, UInt32) -> Int32
    // Swift's Glibc leaves this function out.
    guard let create = dlsym(nil, "memfd_create") else {
      throw Fault(reason: "this system has no memfd_create")
    }
    let closedInOtherPrograms: UInt32 = 1
    let file = unsafeBitCast(create, to: Create.self)("hadal", closedInOtherPrograms)
    guard file >= 0 else { throw fault("memfd_create") }
    guard ftruncate(file, byteCount) == 0 else {
      let fault = fault("ftruncate to \(byteCount >> 30) GB")
      close(file)
      throw fault
    }
    return file
  }

  private static func fault(_ function: String) -> Fault {
    Fault(reason: "\(function): \(String(cString: strerror(errno)))")
  }
}
