import Glibc
import Synchronization

/// Memory that is mapped in this process and perhaps in others, such as what is behind a BAR. Its size is fixed, and no
/// access to it can fault.
///
/// Where others map it by a descriptor it is a ``MemoryFile``. Under a hypervisor that maps it by means of its own it
/// has none.
public class MappedBytes: @unchecked Sendable {
    // SAFETY, of the conformance: nothing in here changes but by atomic operations, the one subclass is in this module,
    // and the bytes are read and written as what others change meanwhile.
    public final let mapping: Mapping
    /// Who notes which pages others have written to; nil where nobody does.
    public final let writes: (any WriteLog)?
    private final let cleared = Atomic<Int>(0)

    /// How often this object has made bytes zero: whoever copies them piece by piece sees whether any was cleared
    /// meanwhile.
    public final var clearings: Int { cleared.load(ordering: .relaxed) }

    /// The size in bytes.
    public final var size: Int { mapping.size }

    /// - Parameters:
    ///   - mapping: of memory that nobody can take away or make shorter.
    ///   - writes: who notes which pages others have written to.
    public init(_ mapping: Mapping, writes: (any WriteLog)? = nil) {
        self.mapping = mapping
        self.writes = writes
    }

    /// This memory as a file that another process can map; nil where it is none.
    public var file: MemoryFile? { nil }

    /// The extents that hold data, in order; all else reads as zeros.
    public func dataExtents() throws(Errno) -> [Range<Int>] {
        var extents: [Range<Int>] = []
        for start in stride(from: 0, to: size, by: Self.page) {
            let end = min(start + Self.page, size)
            if isZero(start..<end) { continue }
            if extents.last?.upperBound == start {
                extents[extents.count - 1] = extents[extents.count - 1].lowerBound..<end
            } else {
                extents.append(start..<end)
            }
        }
        return extents
    }

    /// Makes the bytes of a range zero, and gives the memory of whole pages back where that can be.
    ///
    /// - Throws: `.invalidArgument` when the range leaves the memory, otherwise what the system says.
    public func clear(_ range: Range<Int>) throws(Errno) {
        guard clear(at: range.lowerBound, count: range.count) else { throw .invalidArgument }
    }

    final func noteClearing() {
        cleared.add(1, ordering: .relaxed)
        writes?.noteOwnWrite()
    }

    /// As ``clear(_:)``, from a byte on to the end.
    public final func clear(from offset: Int = 0) throws(Errno) {
        guard offset >= 0, offset <= size else { throw .invalidArgument }
        try clear(offset..<size)
    }

    /// How much memory this takes, in bytes.
    public func memoryTaken() throws(Errno) -> Int { size }

    private static let page = 4096

    private func isZero(_ range: Range<Int>) -> Bool {
        // SAFETY: the range lies inside; a run of equal bytes is one that equals itself a byte further on.
        let start = mapping.base + range.lowerBound
        return start.load(as: UInt8.self) == 0 && memcmp(start, start + 1, range.count - 1) == 0
    }
}
