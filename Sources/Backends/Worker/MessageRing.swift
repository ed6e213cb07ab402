import Linux
import SharedRing

/// A ring of messages: a ``SharedRing`` of bytes, in which each message is a header of 16 bytes and a payload that is
/// padded to a multiple of 16. A message may run across the end of the memory, to its beginning.
struct MessageRing {
    /// A message's header: size of the payload in the lower half of the first word and kind in the upper one, then the
    /// sequence number; little-endian.
    typealias Header = InlineArray<2, UInt64>

    /// In bytes.
    static let headerSize = MemoryLayout<Header>.size
    /// How much memory either end keeps for the next payload, in bytes.
    static let keptCapacity = 1 << 16

    /// In bytes, a power of two.
    let capacity: Int
    let memory: SharedRing

    /// A new ring, empty.
    ///
    /// - Parameter capacity: a power of two, from 4096 to 2³¹.
    init(capacity: Int) throws(Errno) {
        memory = try SharedRing(name: "worker-ring", size: capacity)
        self.capacity = capacity
    }

    /// A ring that the other side has made.
    ///
    /// - Throws: `.invalidArgument` when the file is shorter than a ring, or may become so.
    init(adopting descriptor: consuming Descriptor, capacity: Int) throws(Errno) {
        memory = try SharedRing(adopting: descriptor, size: capacity)
        self.capacity = capacity
    }

    /// How many bytes of the ring a message takes.
    static func length(payload: Int) -> Int { headerSize + (payload + 15) & ~15 }

    // MARK: Bytes

    /// Copies bytes in, from a position on.
    func store(_ bytes: RawSpan, at position: UInt32) {
        let start = Int(position % UInt32(capacity))
        let first = min(bytes.byteCount, capacity - start)
        memory.file.replace(at: SharedRing.contentsOffset + start, with: bytes.extracting(first: first))
        memory.file.replace(at: SharedRing.contentsOffset, with: bytes.extracting(droppingFirst: first))
    }

    /// Copies bytes out, from a position on: as many as `bytes` has.
    func load(at position: UInt32, into bytes: inout MutableRawSpan) {
        let start = Int(position % UInt32(capacity))
        let count = bytes.byteCount
        let first = min(count, capacity - start)
        memory.file.copy(at: SharedRing.contentsOffset + start, count: first, into: &bytes)
        guard first < count else { return }
        var rest = bytes._mutatingExtracting(first..<count)
        memory.file.copy(at: SharedRing.contentsOffset, count: count - first, into: &rest)
    }
}
