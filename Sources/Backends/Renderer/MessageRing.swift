import Linux
import Synchronization

/// A ring of messages in memory that two processes share: one of them puts messages in, the other takes them out.
///
/// | bytes | what | who writes it |
/// |---|---|---|
/// | 0x00 | tail: how many bytes were put in, ever | the producer |
/// | 0x40 | head: how many were taken out, ever | the consumer |
/// | 0x80 | not 0 while the consumer sleeps, until its doorbell rings | both |
/// | 0x1000 … | the messages, each a header of 16 bytes and a payload that is padded to a multiple of 16 | the producer |
///
/// Positions count on and on; a message may run across the end of the memory, to its beginning. Whatever stands here may
/// be changed by the other side at any time, so it is copied first and believed then.
final class MessageRing {
    /// In bytes; a message's header: size of the payload, kind, sequence number (little-endian, 4, 4 and 8 bytes).
    static let headerSize = 16
    private static let dataOffset = 4096
    private static let tailOffset = 0x00
    private static let headOffset = 0x40
    private static let asleepOffset = 0x80

    /// In bytes, a power of two.
    let capacity: Int
    let file: MemoryFile

    /// A new ring, empty.
    ///
    /// - Parameter capacity: a power of two, at least 4096.
    init(capacity: Int) throws(Errno) {
        file = try MemoryFile(name: "renderer-ring", size: Self.dataOffset + capacity)
        self.capacity = capacity
    }

    /// A ring that the other side has made.
    ///
    /// - Throws: `.invalidArgument` when the file is shorter than a ring, or may become so.
    init(adopting descriptor: consuming Descriptor, capacity: Int) throws(Errno) {
        file = try MemoryFile(adopting: descriptor, size: Self.dataOffset + capacity)
        self.capacity = capacity
    }

    /// How many bytes of the ring a message takes.
    static func length(payload: Int) -> Int { headerSize + (payload + 15) & ~15 }

    // MARK: Positions

    // The offsets are multiples of 8 inside the file, so that these always are there.
    var tail: UInt64 {
        get { file.number(at: Self.tailOffset) ?? 0 }
        set { file.publish(newValue, at: Self.tailOffset) }
    }

    var head: UInt64 {
        get { file.number(at: Self.headOffset) ?? 0 }
        set { file.publish(newValue, at: Self.headOffset) }
    }

    /// Says that the consumer is about to sleep. What the producer does from now on either is seen by the next look at
    /// ``tail``, or comes after the producer could see this.
    func announceSleep() {
        file.publish(1, at: Self.asleepOffset)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    func endSleep() {
        file.publish(0, at: Self.asleepOffset)
    }

    /// Whether the consumer sleeps and knows nothing of what was put in; asked, it counts as awake.
    func takeSleeper() -> Bool {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard file.number(at: Self.asleepOffset) != 0 else { return false }
        endSleep()
        return true
    }

    // MARK: Bytes

    /// Copies bytes in, from a position on.
    func store(_ bytes: RawSpan, at position: UInt64) {
        let start = Int(position % UInt64(capacity))
        let first = min(bytes.byteCount, capacity - start)
        file.replace(at: Self.dataOffset + start, with: bytes.extracting(first: first))
        file.replace(at: Self.dataOffset, with: bytes.extracting(droppingFirst: first))
    }

    /// Copies bytes out, from a position on: as many as `bytes` has.
    func load(at position: UInt64, into bytes: inout MutableRawSpan) {
        let start = Int(position % UInt64(capacity))
        let count = bytes.byteCount
        let first = min(count, capacity - start)
        file.copy(at: Self.dataOffset + start, count: first, into: &bytes)
        guard first < count else { return }
        var rest = bytes._mutatingExtracting(first..<count)
        file.copy(at: Self.dataOffset, count: count - first, into: &rest)
    }
}
