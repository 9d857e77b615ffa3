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
  private static let fileName = "hadal"

  private let base: UnsafeMutableRawPointer
  private let byteCount: Int
  /// Bytes before those that are lent.
  private let head: Int
  /// Of this rank's own file, until the others have opened it.
  private var file: Int32?
  let location: Location

  /// This rank's own.
  /// - Parameters:
  ///   - length: bytes, in whole pages; nil: as much as the machine has memory, 256 GB at most.
  ///   - ranks: of the node.
  init(_ length: Int?, ranks: Int) throws(Fault) {
    let memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    byteCount = length ?? min(memory, Self.longest) / Self.page * Self.page
    head = Self.headBytes(ranks)
    guard byteCount > head else {
      throw Fault(reason: "\(byteCount) bytes are less than a page more than its head")
    }
    if let fault = Self.fault(
      byteCount, fileLimit: Self.limit(RLIMIT_FSIZE), addressLimit: Self.limit(RLIMIT_AS))
    {
      throw fault
    }
    let file = try Self.createFile(byteCount)
    base = try Self.map(file, byteCount, PROT_READ | PROT_WRITE)
    self.file = file
    let name = UInt64.random(in: 1...UInt64.max)
    base.storeBytes(of: name, as: UInt64.self)
    location = Location(process: Int(getpid()), descriptor: Int(file), byteCount: byteCount, name: name)
  }

  /// Another rank's.
  init(reading location: Location, ranks: Int) throws(Fault) {
    self.location = location
    (byteCount, head) = (location.byteCount, Self.headBytes(ranks))
    guard location.descriptor >= 0 else { throw Fault(reason: "it offers none") }
    let path = "/proc/\(location.process)/fd/\(location.descriptor)"
    let file = try Self.openFile(path, byteCount)
    base = try Self.map(file, byteCount, PROT_READ)
    close(file)
    guard base.load(as: UInt64.self) == location.name else { throw Fault(reason: "\(path) is another one's") }
  }

  deinit {
    munmap(base, byteCount)
    closeFile()
  }

  /// After the others have opened it.
  func closeFile() {
    if let file { close(file) }
    file = nil
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

  /// Limits of a process that a long file without contents would break, with a signal or later.
  static func fault(_ byteCount: Int, fileLimit: rlim_t, addressLimit: rlim_t) -> Fault? {
    if fileLimit < byteCount {
      return Fault(reason: "files of \(byteCount >> 30) GB are not allowed (ulimit -f)")
    }
    return addressLimit == .max ? nil : Fault(reason: "the address space is limited (ulimit -v)")
  }

  private static func limit(_ resource: __rlimit_resource) -> rlim_t {
    var limit = rlimit()
    return getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 ? limit.rlim_cur : .max
  }

  private static func createFile(_ byteCount: Int) throws(Fault) -> Int32 {
    typealias Create = @convention(c) (UnsafePointer<CChar>, UInt32) -> Int32
    // Swift's Glibc leaves this function out.
    guard let create = dlsym(nil, "memfd_create") else {
      throw Fault(reason: "this system has no memfd_create")
    }
    let closedInOtherPrograms: UInt32 = 1
    let file = unsafeBitCast(create, to: Create.self)(fileName, closedInOtherPrograms)
    guard file >= 0 else { throw failure(of: "memfd_create", errno) }
    guard ftruncate(file, byteCount) == 0 else {
      let number = errno
      close(file)
      throw failure(of: "ftruncate to \(byteCount >> 30) GB", number)
    }
    return file
  }

  /// In another process namespace a number may be anything's: it is looked at before it is opened.
  private static func openFile(_ path: String, _ byteCount: Int) throws(Fault) -> Int32 {
    let prefix = Array("/memfd:\(fileName)".utf8)
    var target = [UInt8](repeating: 0, count: prefix.count)
    let length = target.withUnsafeMutableBytes {
      readlink(path, $0.bindMemory(to: CChar.self).baseAddress!, $0.count)
    }
    guard length >= 0 else { throw failure(of: "readlink of \(path)", errno) }
    let other = Fault(reason: "\(path) is something else")
    guard target == prefix else { throw other }
    let file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
    guard file >= 0 else { throw failure(of: "open of \(path)", errno) }
    var status = stat()
    guard fstat(file, &status) == 0, Int(status.st_size) == byteCount, byteCount > 0 else {
      close(file)
      throw other
    }
    return file
  }

  /// Closes the file when it fails.
  private static func map(
    _ file: Int32, _ byteCount: Int, _ access: Int32
  ) throws(Fault) -> UnsafeMutableRawPointer {
    let address = mmap(nil, byteCount, access, MAP_SHARED, file, 0)
    guard let address, address != MAP_FAILED else {
      let number = errno
      close(file)
      throw failure(of: "mmap of \(byteCount >> 30) GB", number)
    }
    // A core dump would fill every hole of the file with memory.
    madvise(address, byteCount, MADV_DONTDUMP)
    return address
  }

  private static func failure(of function: String, _ number: Int32) -> Fault {
    Fault(reason: "\(function): \(String(cString: strerror(number)))")
  }
}
