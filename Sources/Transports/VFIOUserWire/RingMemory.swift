import Linux
import SharedRing
import Synchronization

/// The memory of an access ring, which a client and a server share: a ``SharedRing`` of slots, whose producer is the
/// client. Documentation/AccessRing.md has its layout.
///
/// Whatever stands in it may be changed by the other side at any time. So all of it is read by atomic loads,
/// once, into values of one's own.
public struct RingMemory {
    /// How many accesses can be under way, a power of two.
    @inlinable public static var slots: UInt32 { 256 }
    @inlinable static var slotSize: Int { 64 }
    private static let size = Int(slots) * slotSize

    public let ring: SharedRing

    /// A new ring, empty.
    public init() throws(Errno) {
        ring = try SharedRing(name: "access-ring", size: Self.size)
    }

    /// A ring that the other side has made.
    ///
    /// - Throws: `.invalidArgument` when the file is shorter than a ring, or may become so.
    public init(adopting descriptor: consuming Descriptor) throws(Errno) {
        ring = try SharedRing(adopting: descriptor, size: Self.size)
    }

    /// Copies what stands in the slot of entry number `number`.
    @inlinable public func load(_ number: UInt32) -> RingEntry {
        var entry = RingEntry()
        let slot = slot(number)
        for index in 0..<3 { entry.words[index] = slot[index].load(ordering: .relaxed) }
        for index in 3..<entry.usedWords { entry.words[index] = slot[index].load(ordering: .relaxed) }
        return entry
    }

    /// Copies an entry into the slot of entry number `number`.
    @inlinable public func store(_ entry: RingEntry, _ number: UInt32) {
        let slot = slot(number)
        for index in 0..<entry.usedWords { slot[index].store(entry.words[index], ordering: .relaxed) }
    }

    @inlinable func slot(_ number: UInt32) -> UnsafeMutablePointer<Atomic<UInt64>> {
        // SAFETY: the remainder keeps it inside the mapping, aligned to 64 bytes; eight words are 64 bytes.
        (ring.contents + Int(number % Self.slots) * Self.slotSize).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}
