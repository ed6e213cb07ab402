import PCI

/// What a server has done: counters that only grow.
public struct Statistics: Sendable {
    /// Messages of any kind.
    public var messages: UInt64 = 0
    /// Accesses that came through an access ring, by no message.
    public var ringAccesses: UInt64 = 0
    /// Region reads and writes, by region.
    public var reads = RegionIndex.Counts(repeating: 0)
    public var writes = RegionIndex.Counts(repeating: 0)
    /// Those reads and writes that came through an access ring.
    public var ringReadsAndWrites = RegionIndex.Counts(repeating: 0)
    /// How long accesses took.
    public var latency = LatencyHistogram()
    /// Messages and ring accesses that were answered with an error, or would have been.
    public var errors: UInt64 = 0
    /// Eventfds signalled, by `InterruptKind`.
    public var interruptsByKind = InterruptKind.Counts(repeating: 0)
    /// Rings of doorbells that came by eventfd, each of those that came together counted.
    public var doorbells: UInt64 = 0
    /// Bytes of guest memory that the device read by DMA_READ messages, and wrote by DMA_WRITE messages.
    public var messageDMABytesRead: UInt64 = 0
    public var messageDMABytesWritten: UInt64 = 0
    /// Clients that were served, that were refused because another was there, and that may not be clients.
    public var sessions: UInt64 = 0
    public var refusedClients: UInt64 = 0
    public var deniedClients: UInt64 = 0

    public init() {}

    /// Eventfds signalled.
    public var interrupts: UInt64 { interruptsByKind.indices.reduce(0) { $0 &+ interruptsByKind[$1] } }

    mutating func add(_ other: Statistics) {
        messages &+= other.messages
        ringAccesses &+= other.ringAccesses
        for index in reads.indices {
            reads[index] &+= other.reads[index]
            writes[index] &+= other.writes[index]
            ringReadsAndWrites[index] &+= other.ringReadsAndWrites[index]
        }
        latency.add(other.latency)
        errors &+= other.errors
        for index in interruptsByKind.indices { interruptsByKind[index] &+= other.interruptsByKind[index] }
        doorbells &+= other.doorbells
        messageDMABytesRead &+= other.messageDMABytesRead
        messageDMABytesWritten &+= other.messageDMABytesWritten
    }
}
