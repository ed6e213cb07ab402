import CLinux
import Glibc
import Synchronization

/// Memory that can be handed to another process as a descriptor: a sealed memfd and this
/// process's mapping of it. `memfd_create(2)`
///
/// Its size is fixed (`F_SEAL_SHRINK`, `F_SEAL_GROW`), so nobody who holds the descriptor can make an
/// access to it fault. Pages nobody has written take no memory.
public final class MemoryFile: Sendable {
    public let descriptor: Descriptor
    public let mapping: Mapping
    private let cleared = Atomic<Int>(0)

    /// How often this object has made bytes zero: whoever copies them bit by bit sees whether they are still what they were.
    public var clearings: Int { cleared.load(ordering: .relaxed) }

    /// The size in bytes.
    public var size: Int { mapping.size }

    /// - Parameters:
    ///   - name: shown in /proc/PID/maps as `memfd:NAME`.
    ///   - size: in bytes; rounded up to whole pages.
    ///   - isOwnAlone: nobody but this object can write to it: whoever gets the descriptor can only read and map it
    ///     for reading. `F_SEAL_FUTURE_WRITE`
    public init(name: String, size: Int, isOwnAlone: Bool = false) throws(Errno) {
        let page = Int(getpagesize())
        let (padded, overflow) = size.addingReportingOverflow(page - 1)
        guard size > 0, !overflow else { throw .invalidArgument }
        let rounded = padded / page * page
        let descriptor = Descriptor(owning: try shim(clinux_memfd(name)))
        let raw = descriptor.raw
        try systemCall { ftruncate(raw, rounded) }
        // The seal leaves the mapping that is there already alone.
        self.mapping = try Mapping(of: descriptor, size: rounded)
        try shim(isOwnAlone ? clinux_seal_writing(raw) : clinux_seal_size(raw))
        self.descriptor = descriptor
    }

    /// Takes over a file that somebody else has made, and maps its first `size` bytes.
    ///
    /// - Throws: `.invalidArgument` when it has fewer, or nothing keeps its maker from cutting it off.
    public init(adopting descriptor: consuming Descriptor, size: Int) throws(Errno) {
        guard size > 0, clinux_cannot_shrink(descriptor.raw) == 1, try descriptor.status().size >= size else {
            throw .invalidArgument
        }
        self.mapping = try Mapping(of: descriptor, size: size)
        self.descriptor = descriptor
    }

    /// The extents that hold data, in order; all else reads as zeros and takes no memory.
    /// `SEEK_DATA`, `SEEK_HOLE`
    public func dataExtents() throws(Errno) -> [Range<Int>] {
        var extents: [Range<Int>] = []
        var position = 0
        while position < size {
            var start: off_t = 0
            var end: off_t = 0
            guard try shim(clinux_next_data(descriptor.raw, position, &start, &end)) == 1 else { break }
            // Whoever else has the file may have made a hole here in between.
            guard end > start else {
                position = start + 1
                continue
            }
            extents.append(start..<end)
            position = end
        }
        return extents
    }

    /// Makes the bytes of a range zero, and gives the memory of whole pages back. Whoever has them mapped keeps the mapping.
    /// `FALLOC_FL_PUNCH_HOLE`
    ///
    /// - Throws: `.invalidArgument` when the range leaves the file.
    public func clear(_ range: Range<Int>) throws(Errno) {
        guard range.lowerBound >= 0, range.upperBound <= size else { throw .invalidArgument }
        guard !range.isEmpty else { return }
        noteClearing()
        try shim(clinux_punch_hole(descriptor.raw, off_t(range.lowerBound), range.count))
    }

    func noteClearing() {
        cleared.add(1, ordering: .relaxed)
    }

    /// As ``clear(_:)``, from a byte on to the end.
    public func clear(from offset: Int = 0) throws(Errno) {
        guard offset >= 0, offset <= size else { throw .invalidArgument }
        try clear(offset..<size)
    }

    /// How much memory the pages that somebody has written take, in bytes. `st_blocks`
    public func memoryTaken() throws(Errno) -> Int {
        Int(clamping: try descriptor.status().allocated)
    }
}
