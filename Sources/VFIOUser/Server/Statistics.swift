/// What a server has done: counters that only grow.
public struct Statistics: Sendable {
    /// Messages of any kind.
    public var messages: UInt64 = 0
    /// Accesses that came through an access ring, by no message.
    public var ringAccesses: UInt64 = 0
    /// Region reads and writes, by region.
    public var reads = InlineArray<9, UInt64>(repeating: 0)
    public var writes = InlineArray<9, UInt64>(repeating: 0)
    /// Messages and ring accesses that were answered with an error, or would have been.
    public var errors: UInt64 = 0
    /// Eventfds signalled.
    public var interrupts: UInt64 = 0
    /// Rings of doorbells that came by eventfd, each of those that came together counted.
    public var doorbells: UInt64 = 0
    /// Bytes moved by DMA_READ and DMA_WRITE messages.
    public var messageDMABytes: UInt64 = 0
    /// Clients that were served, that were refused because another was there, and that may not be clients.
    public var sessions: UInt64 = 0
    public var refusedClients: UInt64 = 0
    public var deniedClients: UInt64 = 0

    public init() {}

    mutating func add(_ other: Statistics) {
        messages &+= other.messages
        ringAccesses &+= other.ringAccesses
        for index in reads.indices {
            reads[index] &+= other.reads[index]
            writes[index] &+= other.writes[index]
        }
        errors &+= other.errors
        interrupts &+= other.interrupts
        doorbells &+= other.doorbells
        messageDMABytes &+= other.messageDMABytes
    }
}
