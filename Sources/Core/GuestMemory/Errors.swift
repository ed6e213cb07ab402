import Linux

/// Why memory could not be mapped or unmapped. Addresses and sizes are in bytes.
public enum MapError: Error, Equatable, Sendable {
    /// The size is 0, the address or the size is no multiple of 4096, or the range runs past 2^64. EINVAL
    case invalidRange(address: UInt64, size: UInt64)
    /// Neither reading nor writing was asked for. EINVAL
    case noAccess
    /// Some of the range is mapped already. EEXIST
    case overlap(address: UInt64, size: UInt64)
    /// There are as many maps as there may be. ENOSPC
    case full(maximum: Int)
    /// No map begins at this address and has this size. ENOENT
    case notMapped(address: UInt64, size: UInt64)
    /// The offset into the file is no multiple of 4096. EINVAL
    case unalignedOffset(UInt64)
    /// The file ends before the range does. EINVAL
    case beyondEndOfFile(offset: UInt64, size: UInt64, fileSize: UInt64)
    /// The file was not opened for this access. EACCES
    case fileAccess(DMAAccess)
    /// The file is none of a memfd, tmpfs or hugetlbfs: whoever reads its pages may wait for somebody. ENODEV
    case notMemory
    /// There are no bytes at offsets in it: it is no file, but a pipe, a socket, an eventfd, a directory. ENODEV, as
    /// from mmap(2)
    case noFile
    /// The system refused: ENOMEM, ENODEV, EPERM for a sealed file …
    case system(Errno)

    /// What the kernel's type1 driver would return.
    public var errno: Errno {
        switch self {
        case .invalidRange, .noAccess, .unalignedOffset, .beyondEndOfFile: .invalidArgument
        case .overlap: .fileExists
        case .full: .noSpace
        case .notMapped: .noSuchFileOrDirectory
        case .fileAccess: .permissionDenied
        case .notMemory, .noFile: .operationNotSupportedByDevice
        case .system(let errno): errno
        }
    }
}

extension MapError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalidRange(let address, let size):
            "\(size) bytes at \(hex(address)) are no range of whole 4096-byte pages below 2^64."
        case .noAccess:
            "A map must allow reading or writing."
        case .overlap(let address, let size):
            "Some of the \(size) bytes at \(hex(address)) are mapped already."
        case .full(let maximum):
            "There are \(maximum) maps already, and no more are allowed."
        case .notMapped(let address, let size):
            "There is no map of \(size) bytes at \(hex(address))."
        case .unalignedOffset(let offset):
            "The file offset \(hex(offset)) is no multiple of 4096."
        case .beyondEndOfFile(let offset, let size, let fileSize):
            "\(size) bytes at offset \(hex(offset)) run past the end of a file of \(fileSize) bytes."
        case .fileAccess(let access):
            "The file was not opened for \(access) access."
        case .notMemory:
            "The file is not memory: no memfd, and not of tmpfs or hugetlbfs."
        case .noFile:
            "The descriptor is of no file with bytes in it."
        case .system(let errno):
            "The memory could not be mapped: \(errno)."
        }
    }
}

/// Why an access to guest memory failed.
public enum DMAError: Error, Equatable, Sendable {
    /// Nothing is mapped at this address (any more). EFAULT
    case notMapped(address: UInt64)
    /// The map at this address doesn't allow the access. EACCES
    case denied(address: UInt64, access: DMAAccess)
    /// The memory behind the piece that begins at this address is gone: its file was truncated. EFAULT
    case fault(address: UInt64)
    /// The hypervisor could not move the bytes, and says why.
    case remote(address: UInt64, Errno)
    /// The range is empty or runs past 2^64. EINVAL
    case invalidRange(address: UInt64, size: UInt64)
    /// The function may not reach memory now: see ``AddressSpace/isBusMaster``. EFAULT
    case notBusMaster(address: UInt64)

    /// Where the bytes are that could not be moved, or the range that has none.
    public var address: UInt64 {
        switch self {
        case .notMapped(let address), .denied(let address, _), .fault(let address), .remote(let address, _),
            .invalidRange(let address, _), .notBusMaster(let address):
            address
        }
    }

    public var errno: Errno {
        switch self {
        case .notMapped, .fault, .notBusMaster: .badAddress
        case .denied: .permissionDenied
        case .remote(_, let errno): errno
        case .invalidRange: .invalidArgument
        }
    }
}

extension DMAError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notMapped(let address):
            "Nothing is mapped at \(hex(address))."
        case .denied(let address, let access):
            "The map at \(hex(address)) does not allow \(access) access."
        case .fault(let address):
            "The memory behind \(hex(address)) is gone."
        case .remote(let address, let errno):
            "The hypervisor could not move the bytes at \(hex(address)): \(errno)."
        case .notBusMaster(let address):
            "The function may not reach \(hex(address)): it is no bus master now."
        case .invalidRange(let address, let size):
            "\(size) bytes at \(hex(address)) are no range below 2^64."
        }
    }
}

/// Why the dirty log can't do what was asked for.
public enum DirtyLogError: Error, Equatable, Sendable {
    /// It runs already. EINVAL
    case started
    /// It doesn't run. EINVAL
    case notStarted
    /// No power of two, less than 4096, or for a log more than 2^30. EINVAL
    case invalidPageSize(UInt64)
    /// The range is empty, or its address or size is no multiple of the page size. EINVAL
    case invalidRange(address: UInt64, size: UInt64)
    /// The range runs past 2^64. EOVERFLOW
    case overflow(address: UInt64, size: UInt64)
    /// Two ranges share the page at this address. EINVAL
    case overlap(address: UInt64)
    /// The bitmap has fewer bits than the range has pages. EINVAL
    case bitmapTooSmall(bytes: Int, needed: UInt64)

    /// What the kernel would return.
    public var errno: Errno {
        switch self {
        case .overflow: .overflow
        default: .invalidArgument
        }
    }
}

extension DirtyLogError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .started: "The dirty log runs already."
        case .notStarted: "The dirty log does not run."
        case .invalidPageSize(let size): "The page size \(size) is no power of two from 4096 to 2^30."
        case .invalidRange(let address, let size):
            "\(size) bytes at \(hex(address)) are no range of whole pages."
        case .overflow(let address, let size): "\(size) bytes at \(hex(address)) run past 2^64."
        case .overlap(let address): "Two ranges contain \(hex(address))."
        case .bitmapTooSmall(let bytes, let needed):
            "The bitmap has \(bytes) bytes, but the range needs \(needed)."
        }
    }
}

private func hex(_ value: UInt64) -> String {
    "0x" + String(value, radix: 16)
}
