import Linux

/// One passage with all its bytes, as it goes through a recording's ring and, unchanged, into a file.
///
/// | at | size | what |
/// |---|---|---|
/// | 0 | 4 | the length of all this in bytes, at most ``maximumLength`` |
/// | 4 | 1 | ``kind`` |
/// | 5 | 1 | ``way``; 0 for none |
/// | 6 | 1 | ``region`` |
/// | 7 | 1 | the length of ``name`` in bytes |
/// | 8 | 8 | ``number`` |
/// | 16 | 8 | ``time`` |
/// | 24 | 8 | ``offset`` |
/// | 32 | 8 | ``count`` |
/// | 40 | 8 | ``value`` |
/// | 48 | 4 | ``latency``; 0 for none |
/// | 52 | 4 | bit 31: ``hasMoreParts``; bits 0 to 30: ``partOffset`` |
/// | 56 | … | ``name`` in UTF-8, then ``bytes`` |
///
/// All numbers are little-endian. Whoever reads a record takes it for hostile; ``init(decoding:)`` checks every length.
public struct Record: Equatable, Sendable {
    public static let headerSize = 56
    /// How many bytes of a passage one record has at most. Of a longer passage there are several, with the same number.
    public static let maximumBytes = 64 << 10
    public static let maximumNameLength = 255
    public static let maximumLength = headerSize + maximumNameLength + maximumBytes
    /// Where the bytes of a part begin at most.
    public static let maximumPartOffset: UInt32 = 0x7fff_ffff

    public var kind: Kind
    public var way: Way?
    /// The fields from here to ``name`` say the same as those of ``Event``.
    public var region: UInt8 = 0
    /// The running number of the passage, from 0.
    public var number: UInt64 = 0
    /// In nanoseconds since 1970. UTC
    public var time: UInt64 = 0
    public var offset: UInt64 = 0
    public var count: UInt64 = 0
    public var value: UInt64 = 0
    /// In nanoseconds.
    public var latency: UInt32?
    public var name = ""
    /// Where ``bytes`` begin within those of the passage.
    public var partOffset: UInt32 = 0
    /// More parts of this passage follow.
    public var hasMoreParts = false
    /// Those that passed, or this part of them.
    public var bytes: [UInt8] = []

    public init(_ kind: Kind) {
        self.kind = kind
    }

    /// - Parameters:
    ///   - passage: what passed.
    ///   - span: the bytes that went with it.
    public init(_ passage: Passage, _ span: RawSpan) {
        self.init(passage, measuring: span)
        bytes.append(span)
    }

    /// - Parameters:
    ///   - passage: what passed.
    ///   - span: the bytes that went with it. ``bytes`` stays empty.
    init(_ passage: Passage, measuring span: RawSpan) {
        let event = Event(passage, span)
        self.init(Kind(event.kind))
        (way, region, name) = (event.way, event.region, event.name)
        (offset, count, value) = (event.offset, event.count, event.value)
    }
}

extension Record {
    /// What a record tells of. One that isn't known is skipped.
    public struct Kind: RawRepresentable, Hashable, Sendable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        public init(_ kind: Event.Kind) {
            rawValue = kind.rawValue
        }

        /// What passed; nil for a kind of the recording's own.
        public var event: Event.Kind? { Event.Kind(rawValue: rawValue) }

        /// JSON: what is needed to make the device anew. The first record of a recording.
        public static let description = Kind(rawValue: 0x80)
        /// A part of the saved state in which the function was before the passage `number`. `offset`: where it lies in it; `count`: the size of the whole. What no part tells
        /// of is zero.
        public static let state = Kind(rawValue: 0x81)
        /// `count` passages were lost here.
        public static let gap = Kind(rawValue: 0x82)
        /// The access begins here that the next ``Event/Kind/read`` tells of: what stands in between is a part of it.
        public static let begin = Kind(rawValue: 0x83)
        /// What the head `region` shows in the end, `offset` pixels wide and `value` high: BGRX.
        public static let picture = Kind(rawValue: 0x84)
        /// These bytes are at `offset` in what the guest has mapped of the BAR `region`, by its own hand. Without bytes
        /// `count` zeros are there.
        public static let memory = Kind(rawValue: 0x85)
        /// The recording has ended in good order.
        public static let end = Kind(rawValue: 0x86)
        /// As the next four: what held when the state of the same number was taken. Here `count` bytes of guest memory
        /// were mapped at `offset`; `value`: 1 for reading, 2 for writing, 3 for both.
        public static let map = Kind(rawValue: 0x87)
        /// `value`: by which kind of message the client takes interrupts: 0 none, 1 MSI, 2 MSI-X, 255 by address.
        public static let interrupts = Kind(rawValue: 0x88)
        /// `offset` bytes of video memory and `value` pictures a second were the most.
        public static let limits = Kind(rawValue: 0x89)
        /// There was somebody at the other end of what the device has under the name.
        public static let connection = Kind(rawValue: 0x8a)
        /// These bytes the device keeps for whoever comes to the other end of what it has under the name.
        public static let kept = Kind(rawValue: 0x8b)
        /// A message of vfio-user's that went by: way 1 from the client, 2 from the server.
        public static let wire = Kind(rawValue: 0x90)
    }
}

extension Record {
    /// The event that this is in a trace, with its first bytes; nil for a kind of the recording's own.
    public var event: Event? {
        guard let kind = kind.event else { return nil }
        var event = Event(kind)
        (event.number, event.time, event.way, event.region) = (number, time, way, region)
        (event.offset, event.count, event.value) = (offset, count, value)
        (event.latency, event.name) = (latency, name)
        if partOffset == 0 { event.more = Event.more(of: bytes.span.bytes) }
        return event
    }
}

/// Bytes that are no record.
public struct RecordError: Error, Equatable, CustomStringConvertible {
    /// A sentence.
    public let description: String
}
