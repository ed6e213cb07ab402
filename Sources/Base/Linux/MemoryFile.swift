import CLinux
import Glibc

/// Memory that can be handed to another process as a descriptor: a sealed memfd and this
/// process's mapping of it. `memfd_create(2)`
///
/// Its size is fixed (`F_SEAL_SHRINK`, `F_SEAL_GROW`), so nobody who holds the descriptor can make an
/// access to it fault. Pages nobody has written take no memory.
public final class MemoryFile: MappedBytes, @unchecked Sendable {
    // SAFETY, of the conformance: as for MappedBytes, and the descriptor doesn't change.
    public let descriptor: Descriptor

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
        let mapping = try Mapping(of: descriptor, size: rounded)
        try shim(isOwnAlone ? clinux_seal_writing(raw) : clinux_seal_size(raw))
        self.descriptor = descriptor
        super.init(mapping)
    }

    /// Takes over a file that somebody else has made, and maps its first `size` bytes.
    ///
    /// - Throws: `.invalidArgument` when it has fewer, or nothing keeps its maker from cutting it off.
    public init(adopting descriptor: consuming Descriptor, size: Int) throws(Errno) {
        guard size > 0, clinux_cannot_shrink(descriptor.raw) == 1, try descriptor.status().size >= size else {
            throw .invalidArgument
        }
        let mapping = try Mapping(of: descriptor, size: size)
        self.descriptor = descriptor
        super.init(mapping)
    }

    public override var file: MemoryFile? { self }

    /// The extents that hold data, in order; all else reads as zeros and takes no memory.
    /// `SEEK_DATA`, `SEEK_HOLE`
    public override func dataExtents() throws(Errno) -> [Range<Int>] {
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

    /// Makes the bytes of a range zero, and gives the memory of whole pages back. Whoever has them mapped keeps the
    /// mapping. `FALLOC_FL_PUNCH_HOLE`
    public override func clear(_ range: Range<Int>) throws(Errno) {
        guard range.lowerBound >= 0, range.upperBound <= size else { throw .invalidArgument }
        guard !range.isEmpty else { return }
        noteClearing()
        try shim(clinux_punch_hole(descriptor.raw, off_t(range.lowerBound), range.count))
    }

    /// How much memory the pages that somebody has written take, in bytes. `st_blocks`
    public override func memoryTaken() throws(Errno) -> Int {
        Int(clamping: try descriptor.status().allocated)
    }
}

extension MappedBytes {
    /// The first `size` bytes of a file that somebody else has made, for reading alone: any write ends the process.
    ///
    /// - Throws: `.invalidArgument` when it has fewer, or nothing keeps its maker from cutting it off.
    public convenience init(reading descriptor: borrowing Descriptor, size: Int) throws(Errno) {
        guard size > 0, clinux_cannot_shrink(descriptor.raw) == 1, try descriptor.status().size >= size else {
            throw .invalidArgument
        }
        self.init(try Mapping(of: descriptor, size: size, access: .read))
    }
}
