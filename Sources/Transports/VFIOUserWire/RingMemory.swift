import Linux
import Synchronization

/// The memory of an access ring, which a client and a server share. Documentation/AccessRing.md has its layout.
///
/// Whatever stands in it may be changed by the other side at any time. So all of it is read by atomic loads,
/// once, into values of one's own.
public final class RingMemory {
    /// How many accesses can be under way, a power of two.
    @inlinable public static var slots: UInt32 { 256 }
    private static let slotSize = 64
    /// Where the slots begin, in bytes.
    private static let slotsOffset = 4096
    private static let size = slotsOffset + Int(slots) * slotSize

    /// The words of the header, each with a cache line of its own.
    public enum Field: Int {
        /// How many entries the client has put in, ever. Its own to write.
        case tail = 0x00
        /// How many the server has carried out, ever. Its own to write.
        case head = 0x40
        /// Not 0 while the server waits for its eventfd.
        case serverAsleep = 0x80
        /// Not 0 while the client waits for its eventfd.
        case clientAsleep = 0xc0
    }

    public let file: MemoryFile

    /// A new ring, empty.
    public init() throws(Errno) {
        file = try MemoryFile(name: "access-ring", size: Self.size)
    }

    /// A ring that the other side has made.
    ///
    /// - Throws: `.invalidArgument` when the file is shorter than a ring, or may become so.
    public init(adopting descriptor: consuming Descriptor) throws(Errno) {
        file = try MemoryFile(adopting: descriptor, size: Self.size)
    }

    // MARK: The header

    /// The field, and all that the other side wrote before it.
    @inlinable public func acquire(_ field: Field) -> UInt32 {
        word(field).pointee.load(ordering: .acquiring)
    }

    /// Sets the field, behind all that this side wrote before.
    @inlinable public func release(_ field: Field, _ value: UInt32) {
        word(field).pointee.store(value, ordering: .releasing)
    }

    /// Says that this side is about to sleep. What the other side does from now on either is seen by the next
    /// ``acquire(_:)``, or comes after the other side could see the flag.
    public func announceSleep(_ flag: Field) {
        word(flag).pointee.store(1, ordering: .sequentiallyConsistent)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// Whether the other side sleeps and knows nothing of what this side has released; asked, it counts as awake.
    @inlinable public func takeSleeper(_ flag: Field) -> Bool {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard word(flag).pointee.load(ordering: .relaxed) != 0 else { return false }
        word(flag).pointee.store(0, ordering: .relaxed)
        return true
    }

    @inlinable func word(_ field: Field) -> UnsafeMutablePointer<Atomic<UInt32>> {
        // SAFETY: inside the first page of a mapping that lives as long as this object, aligned to 64 bytes; Atomic<UInt32>
        // has the representation of UInt32.
        (file.mapping.base + field.rawValue).assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    // MARK: The slots

    /// Copies what stands in the slot of entry number `number`.
    public func load(_ number: UInt32) -> RingEntry {
        var entry = RingEntry()
        let slot = slot(number)
        for index in 0..<3 { entry.words[index] = slot[index].load(ordering: .relaxed) }
        for index in 3..<entry.usedWords { entry.words[index] = slot[index].load(ordering: .relaxed) }
        return entry
    }

    /// Copies an entry into the slot of entry number `number`.
    public func store(_ entry: RingEntry, _ number: UInt32) {
        let slot = slot(number)
        for index in 0..<entry.usedWords { slot[index].store(entry.words[index], ordering: .relaxed) }
    }

    private func slot(_ number: UInt32) -> UnsafeMutablePointer<Atomic<UInt64>> {
        let offset = Self.slotsOffset + Int(number % Self.slots) * Self.slotSize
        // SAFETY: the remainder keeps it inside the mapping, aligned to 64 bytes; eight words are 64 bytes.
        return (file.mapping.base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}
