import Linux
import Synchronization

/// The memory of a ring that two processes share: the *producer* puts things in, the *consumer* takes them out, in
/// their order.
///
/// | bytes | what | who writes it |
/// |---|---|---|
/// | 0x00 | `tail`: how much was put in, ever, modulo 2³² | the producer |
/// | 0x40 | `head`: how much was taken out, ever, modulo 2³² | the consumer |
/// | 0x80 | `consumerAsleep`: not 0 while the consumer waits for its eventfd | both |
/// | 0xc0 | `producerAsleep`: not 0 while the producer waits for its eventfd | both |
/// | 0x1000 … | the contents | whoever the ring's user says |
///
/// All four are little-endian words of 32 bits, each with a cache line of its own. What `tail` and `head` count, bytes
/// or entries, is the user's business, and so are the contents. ``ProducerCursor`` and ``ConsumerCursor`` move the
/// positions, ``RingDoorbell`` is how a side sleeps.
///
/// The other side may change anything here at any time: whatever it says is read once, by an atomic load, and checked
/// then.
public struct SharedRing: @unchecked Sendable {
    // SAFETY, of the conformance: nothing changes but what lies in shared memory, and that by atomic operations.

    /// A word of the header.
    public struct Field: Equatable, Sendable {
        /// In bytes from the beginning of the memory.
        @usableFromInline let offset: Int
        @inlinable init(_ offset: Int) { self.offset = offset }

        /// Where the producer is.
        @inlinable public static var tail: Field { Field(0x00) }
        /// Where the consumer is.
        @inlinable public static var head: Field { Field(0x40) }
        /// Whether the consumer must be rung.
        @inlinable public static var consumerAsleep: Field { Field(0x80) }
        /// Whether the producer must be rung.
        @inlinable public static var producerAsleep: Field { Field(0xc0) }
    }

    /// Where the contents begin, in bytes.
    @inlinable public static var contentsOffset: Int { 4096 }

    /// The memory, to be given to the other side.
    public let file: MemoryFile
    @usableFromInline let base: UnsafeMutableRawPointer

    /// A new ring, empty.
    ///
    /// - Parameters:
    ///   - name: shown in /proc/PID/maps as `memfd:NAME`.
    ///   - size: of the contents, in bytes.
    public init(name: String, size: Int) throws(Errno) {
        self.init(try MemoryFile(name: name, size: Self.contentsOffset + size))
    }

    /// A ring that the other side has made.
    ///
    /// - Throws: `.invalidArgument` when the file is shorter than such a ring, or may become so.
    public init(adopting descriptor: consuming Descriptor, size: Int) throws(Errno) {
        self.init(try MemoryFile(adopting: descriptor, size: Self.contentsOffset + size))
    }

    private init(_ file: MemoryFile) {
        self.file = file
        base = file.mapping.base
    }

    /// Where the contents begin. Valid as long as ``file``.
    @inlinable public var contents: UnsafeMutableRawPointer { base + Self.contentsOffset }

    /// What the word says; all that the other side wrote before it is seen from now on.
    @inlinable public func acquire(_ field: Field) -> UInt32 {
        word(field).pointee.load(ordering: .acquiring)
    }

    /// Sets the word, behind all that this side wrote before.
    @inlinable public func release(_ field: Field, _ value: UInt32) {
        word(field).pointee.store(value, ordering: .releasing)
    }

    /// The other side's position.
    ///
    /// - Throws: when it isn't one of those from `first` to `last`, counted modulo 2³².
    @inlinable func position(_ field: Field, from first: UInt32, to last: UInt32) throws(RingViolation) -> UInt32 {
        let position = acquire(field)
        guard position &- first <= last &- first else {
            throw RingViolation(position: position, from: first, to: last)
        }
        return position
    }

    @inlinable func word(_ field: Field) -> UnsafeMutablePointer<Atomic<UInt32>> {
        // SAFETY: inside the first page of a mapping that lives as long as `file`, aligned to 64 bytes; Atomic<UInt32>
        // has the representation of UInt32.
        (base + field.offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
}

/// The other side broke the ring's rules: nothing that comes from it can be understood any more.
public struct RingViolation: Error, CustomStringConvertible {
    /// What it did, as a part of a sentence.
    public let description: String

    /// - Parameter description: what it did, as a part of a sentence.
    public init(_ description: String) {
        self.description = description
    }

    @usableFromInline init(position: UInt32, from first: UInt32, to last: UInt32) {
        self.init("its position in the ring is \(position), and can't be but \(first) to \(last)")
    }
}
