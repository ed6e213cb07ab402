import Linux

/// One passage as a recorder keeps it, and as watchers read it: what it was, when, and what of it fits into a few
/// words.
public struct Event: Equatable, Sendable {
    /// What passed; ``Passage`` says what each of them is.
    public enum Kind: UInt8, CaseIterable, Sendable {
        case read = 1
        case write, doorbell
        case memoryRead, memoryWrite, memoryFault
        case message, pin
        case look
        case reset, running, restored
        case mapped, unmapped, unmappedAll
        case quota, monitor
        case connected, disconnected, received, sent
        case event, clock, random
        case client, command
        case request, completion
        case altered = 40
        case pending

        /// Whether more bytes than those of most kinds are kept: of messages and chains with fields of their own.
        var hasRest: Bool { self == .command || self == .request || self == .completion }
    }

    /// The running number, from 0.
    public var number: UInt64 = 0
    /// In nanoseconds. For an access it is when that began. `CLOCK_MONOTONIC`
    public var time: UInt64 = 0
    public var kind: Kind
    /// How an access came; nil for all else.
    public var way: Way?
    /// The region of an access, the BAR of a doorbell, or the head of a monitor; otherwise 0.
    public var region: UInt8 = 0
    /// The offset in a region or in a memory, an address in guest memory, the number of a vector, a rule, a command or a
    /// virtqueue, a monitor's width in pixels, a quota's bytes of video memory; otherwise 0.
    public var offset: UInt64 = 0
    /// How many bytes passed, or are mapped; how often a doorbell was signalled.
    public var count: UInt64 = 0
    /// The first eight of the bytes that passed, the first one lowest; the level of a pin, and whether the function
    /// runs; whether a message waits; whether a client is there; a monitor's height in pixels, a quota's pictures a second.
    public var value: UInt64 = 0
    /// The sixteen bytes behind those of ``value``, as far as they have passed.
    public var more: SIMD2<UInt64> = .zero
    /// What came behind those, of kinds that have it, while somebody watches: at most ``restKept`` bytes.
    public var rest: [UInt8] = []
    /// How long an access took, in nanoseconds, at most `UInt32.max`; nil for all else, and for one that isn't over.
    public var latency: UInt32?
    /// The name of a line, a memory, an event of the loop; the kinds of a command's descriptors; otherwise empty.
    public var name = ""

    public init(_ kind: Kind) {
        self.kind = kind
    }
}

extension Event {
    /// How many bytes of what passed are always kept: those of ``value`` and ``more``.
    public static let bytesKept = 24
    public static let restKept = 2 * EventRing.restSize

    /// The first of the bytes that passed, those of ``rest`` included. For kinds that have any.
    public var bytes: [UInt8] { front + rest }

    /// How many slots of a recorder's it takes.
    var slots: UInt64 { UInt64(1 + (rest.count + EventRing.restSize - 1) / EventRing.restSize) }

    private var front: [UInt8] {
        (0..<Int(min(count, UInt64(Self.bytesKept)))).map { index in
            let word = index < 8 ? value : more[index / 8 - 1]
            return UInt8(truncatingIfNeeded: word >> UInt64(index % 8 * 8))
        }
    }

    /// Forgets the bytes that passed, but for those of registers, commands, and what a virtqueue's chain begins with.
    mutating func dropContents() {
        switch kind {
        case .memoryRead, .memoryWrite, .look, .received, .sent, .random, .completion: (value, more) = (0, .zero)
        default: break
        }
    }

    /// - Parameters:
    ///   - passage: what passed.
    ///   - bytes: those that went with it.
    public init(_ passage: Passage, _ bytes: RawSpan) {
        switch passage {
        case .read(let region, let offset, let way): self.init(.read, region, offset, bytes, way)
        case .write(let region, let offset, let way): self.init(.write, region, offset, bytes, way)
        case .doorbell(let bar, let offset, let times):
            self.init(.doorbell, bar, offset, bytes)
            count = times
        case .memoryRead(let address): self.init(.memoryRead, 0, address, bytes)
        case .memoryWrite(let address): self.init(.memoryWrite, 0, address, bytes)
        case .memoryFault(let address): self.init(.memoryFault, 0, address, bytes)
        case .message(let vector): self.init(.message, 0, UInt64(vector), bytes)
        case .pin(let isAsserted):
            self.init(.pin)
            value = isAsserted ? 1 : 0
        case .look(let memory, let offset):
            self.init(.look, 0, UInt64(offset), bytes)
            name = memory
        case .reset: self.init(.reset)
        case .running(let isRunning):
            self.init(.running)
            value = isRunning ? 1 : 0
        case .restored: self.init(.restored)
        case .mapped(let address, let size):
            self.init(.mapped)
            (offset, count) = (address, size)
        case .unmapped(let address, let size):
            self.init(.unmapped)
            (offset, count) = (address, size)
        case .unmappedAll: self.init(.unmappedAll)
        case .quota(let videoMemory, let frameRate):
            self.init(.quota)
            (offset, value) = (UInt64(clamping: videoMemory ?? 0), UInt64(clamping: frameRate ?? 0))
        case .monitor(let head, let width, let height):
            self.init(.monitor)
            region = UInt8(clamping: head)
            (offset, value) = (UInt64(clamping: width), UInt64(clamping: height))
        case .connected(let name): self.init(.connected, of: name, bytes)
        case .disconnected(let name): self.init(.disconnected, of: name, bytes)
        case .received(let name): self.init(.received, of: name, bytes)
        case .sent(let name): self.init(.sent, of: name, bytes)
        case .event(let name): self.init(.event, of: name, bytes)
        case .clock: self.init(.clock, 0, 0, bytes)
        case .random: self.init(.random, 0, 0, bytes)
        case .client(let isConnected):
            self.init(.client)
            value = isConnected ? 1 : 0
        case .command(let number, let descriptors):
            self.init(.command, 0, UInt64(clamping: number), bytes)
            name = descriptors
        case .request(let queue): self.init(.request, 0, UInt64(clamping: queue), bytes)
        case .completion(let queue): self.init(.completion, 0, UInt64(clamping: queue), bytes)
        case .pending(let vector, let isWaiting):
            self.init(.pending)
            (offset, value) = (UInt64(clamping: vector), isWaiting ? 1 : 0)
        case .altered(let rule): self.init(.altered, 0, UInt64(clamping: rule), bytes)
        }
    }

    private init(_ kind: Kind, _ region: Int, _ offset: UInt64, _ bytes: RawSpan, _ way: Way? = nil) {
        self.init(kind)
        self.region = UInt8(clamping: region)
        self.offset = offset
        self.way = way
        count = UInt64(bytes.byteCount)
        value = Self.word(of: bytes, at: 0)
        if bytes.byteCount > 8 { more = Self.more(of: bytes) }
    }

    private init(_ kind: Kind, of name: String, _ bytes: RawSpan) {
        self.init(kind, 0, 0, bytes)
        self.name = name
    }

    static func more(of bytes: RawSpan) -> SIMD2<UInt64> { [word(of: bytes, at: 8), word(of: bytes, at: 16)] }

    /// Eight bytes from `offset` on, the first one lowest; 0 where there are none.
    private static func word(of bytes: RawSpan, at offset: Int) -> UInt64 {
        let left = bytes.byteCount - offset
        if left >= 8 { return UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        var value: UInt64 = 0
        for index in 0..<max(0, left) {
            let byte = bytes.unsafeLoadUnaligned(fromByteOffset: offset + index, as: UInt8.self)
            value |= UInt64(byte) << UInt64(8 * index)
        }
        return value
    }
}
