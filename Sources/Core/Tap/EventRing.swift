import Linux
import Synchronization

/// The memory in which a recorder keeps the last events, and which watchers have mapped for reading.
///
/// | bytes | what |
/// |---|---|
/// | 0x00 | ``magic``, with the version of this layout |
/// | 0x08 | how many events there is room for: a power of two, at most ``maximumCapacity`` |
/// | 0x10 | how many events were written, ever; those of an access that isn't over aren't counted |
/// | 0x18 | the time of `CLOCK_REALTIME` less that of `CLOCK_MONOTONIC` at the beginning, in nanoseconds |
/// | 0x20 | how many names there are, at most ``maximumNames`` |
/// | 0x40 … | the names: 32 bytes each, the first of them the length |
/// | 0x1000 … | the events: ``slotSize`` bytes each, event *n* in slot *n* modulo the capacity |
///
/// An event is eight numbers of 64 bits: its own number and 1, or 0 while it is being written; the time; kind, way,
/// region and the name's number and 1 in a byte each, and the latency in the upper half, 0 while there is none; offset;
/// count; and the first 24 bytes that passed, or a value. All numbers are little-endian.
///
/// Behind a command and a chain of a virtqueue's there may be slots with more of its bytes: their kind is ``restKind``, and all but
/// their numbers and kinds are bytes, ``restSize`` of them.
///
/// The one who writes waits for nobody. So whoever reads may find that an event was overwritten meanwhile: its own
/// number says so.
struct EventRing: Sendable {
    static let magic: UInt64 = 0x0002_7061_7464_654d  // "Medtap", 2
    static let maximumCapacity = 1 << 20
    static let maximumNames = 120
    static let slotSize = 64
    static let restKind: UInt8 = 0xff
    static let restSize = 48

    /// Where something stands, in bytes.
    enum Place {
        static let magic = 0x00
        static let capacity = 0x08
        static let written = 0x10
        static let clock = 0x18
        static let nameCount = 0x20
        static let names = 0x40
        static let slots = 0x1000

        static func name(_ index: Int) -> Int { names + index * nameSize }
    }

    static let nameSize = 32

    /// The numbers of a slot behind the first.
    typealias Words = InlineArray<7, UInt64>

    let memory: MappedBytes
    let capacity: Int

    static func size(capacity: Int) -> Int { Place.slots + capacity * slotSize }

    func place(of number: UInt64) -> Int {
        Place.slots + Int(number & UInt64(capacity - 1)) * Self.slotSize
    }

    /// How many events were written.
    var written: UInt64 { memory.number(at: Place.written) ?? 0 }

    // MARK: One event

    func write(_ event: Event, name: UInt8) {
        let kinds = UInt64(event.kind.rawValue) | UInt64(event.way?.rawValue ?? 0) << 8 | UInt64(event.region) << 16
        let words: Words = [
            event.time.littleEndian, (kinds | UInt64(name) << 24).littleEndian, event.offset.littleEndian,
            event.count.littleEndian, event.value.littleEndian, event.more[0].littleEndian,
            event.more[1].littleEndian,
        ]
        write(words, to: event.number)
    }

    /// - Parameter bytes: at most ``restSize``.
    func write(rest bytes: RawSpan, to number: UInt64) {
        var words = Words(repeating: 0)
        words[1] = UInt64(Self.restKind).littleEndian
        for index in 0..<bytes.byteCount {
            let byte = bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt8.self)
            words[Self.restWord(index)] |= (UInt64(byte) << UInt64(index % 8 * 8)).littleEndian
        }
        write(words, to: number)
    }

    /// The bytes of a slot; nil when it has none of these.
    static func rest(_ words: Words) -> [UInt8]? {
        guard UInt8(truncatingIfNeeded: UInt64(littleEndian: words[1])) == restKind else { return nil }
        return (0..<restSize).map { index in
            UInt8(truncatingIfNeeded: UInt64(littleEndian: words[restWord(index)]) >> UInt64(index % 8 * 8))
        }
    }

    /// In which word a byte stands: all but the second, which has the kind.
    private static func restWord(_ index: Int) -> Int { index < 8 ? 0 : index / 8 + 1 }

    /// Whoever reads the slot meanwhile finds that out.
    private func write(_ words: Words, to number: UInt64) {
        let place = place(of: number)
        memory.publish(0, at: place)
        atomicMemoryFence(ordering: .acquiringAndReleasing)
        memory.replace(at: place + 8, with: words.span.bytes)
        memory.publish(number &+ 1, at: place)
    }

    /// Says how long an access has taken, in nanoseconds, unless its event is overwritten already.
    func setLatency(_ latency: UInt32, ofEvent number: UInt64) {
        let place = place(of: number)
        guard memory.number(at: place) == number &+ 1, let kinds = memory.number(at: place + 16) else { return }
        memory.publish(kinds & 0xffff_ffff | UInt64(latency) << 32, at: place + 16)
    }

    /// What was written of an event; nil when another is in its slot, or comes there just now.
    func words(of number: UInt64) -> Words? {
        let place = place(of: number)
        guard memory.number(at: place) == number &+ 1 else { return nil }
        var words = Words(repeating: 0)
        var span = words.mutableSpan
        var bytes = span.mutableBytes
        memory.copy(at: place + 8, count: bytes.byteCount, into: &bytes)
        atomicMemoryFence(ordering: .acquiring)
        return memory.number(at: place) == number &+ 1 ? words : nil
    }
}
