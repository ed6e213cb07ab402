import CLinux
import Glibc

/// A mapping of a file, or of fresh memory, that is unmapped when its owner goes away.
///
/// The bytes belong to more than one process: whoever else maps the file may change them at any
/// time, or truncate the file. Read them through ``GuardedCopy``, never through a span.
public final class Mapping: Sendable {
    /// Where the mapping begins in this process.
    public nonisolated(unsafe) let base: UnsafeMutableRawPointer
    /// The length in bytes, at least 1.
    public let size: Int
    /// Where a file that a peer has sent is unmapped.
    private let lane: ClosingLane?

    /// What may be done with the mapped bytes. `PROT_READ`, `PROT_WRITE`
    public struct Access: OptionSet, Sendable {
        public let rawValue: Int32
        public init(rawValue: Int32) { self.rawValue = rawValue }
        public static let read = Access(rawValue: PROT_READ)
        public static let write = Access(rawValue: PROT_WRITE)
    }

    /// Maps `size` bytes of a file from byte `offset` on, shared with whoever else maps it. It is unmapped where the
    /// descriptor is closed: in its ``ClosingLane``, if it has one.
    ///
    /// - Parameter offset: a multiple of the page size.
    /// - Throws: `mmap(2)`'s error: EACCES, EINVAL, ENOMEM, ENODEV …
    public init(
        of descriptor: borrowing Descriptor, at offset: UInt64 = 0, size: Int, access: Access = [.read, .write]
    ) throws(Errno) {
        guard size > 0, let offset = off_t(exactly: offset) else { throw .invalidArgument }
        // SAFETY: a fresh mapping at an address the kernel picks; this object alone unmaps it.
        let base = mmap(nil, size, access.rawValue, MAP_SHARED, descriptor.raw, offset)
        guard let base, base != MAP_FAILED else { throw .current }
        self.base = base
        self.size = size
        lane = descriptor.lane
    }

    /// Has fresh memory with the same bytes in the place of what is mapped: whoever else has that sees no more of what
    /// is done here. `mremap(2)`
    ///
    /// - Throws: ENOMEM, with everything as it was.
    public func becomeCopy() throws(Errno) {
        // Shared, so that it doesn't count as this process's private memory, of which it may have little.
        let fresh = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        guard let fresh, fresh != MAP_FAILED else { throw .current }
        // SAFETY: both are as long as this; nobody else knows of the fresh one.
        memcpy(fresh, base, size)
        do throws(Errno) { try shim(clinux_move_mapping(fresh, base, size)) } catch {
            munmap(fresh, size)
            throw error
        }
    }

    deinit {
        if let lane { lane.unmap(base, size: size) } else { munmap(base, size) }
    }
}
