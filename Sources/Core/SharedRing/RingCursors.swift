/// The producer's place in a ring. The header's copy of it is for the consumer: what that makes of it doesn't matter.
public struct ProducerCursor {
    @usableFromInline let ring: SharedRing
    /// How much the ring holds, in whatever its positions count.
    public let capacity: UInt32
    @usableFromInline var own: UInt32 = 0
    /// How much the consumer had taken out when last asked.
    @usableFromInline var head: UInt32 = 0

    /// - Parameters:
    ///   - ring: an empty one.
    ///   - capacity: a power of two, at most 2³¹.
    public init(_ ring: SharedRing, capacity: UInt32) {
        self.ring = ring
        self.capacity = capacity
    }

    /// How much was put in: where what comes next goes.
    @inlinable public var tail: UInt32 { own }

    /// Whether `count` more go in. The consumer's position is looked at only when those that it had taken out before
    /// don't do.
    ///
    /// - Throws: when the consumer says to have taken out what was never put in, or less than it said before.
    @inlinable public mutating func hasRoom(for count: UInt32) throws(RingViolation) -> Bool {
        if count <= capacity &- (own &- head) { return true }
        try lookForHead()
        return count <= capacity &- (own &- head)
    }

    /// Makes the next `count`, which stand in the ring and for which there is room, the consumer's.
    @inlinable public mutating func put(_ count: UInt32) {
        own &+= count
        ring.release(.tail, own)
    }

    /// Whether what was put in at `position`, one of the last ``capacity``, was taken out.
    ///
    /// - Throws: as ``hasRoom(for:)``.
    @inlinable public mutating func isTaken(_ position: UInt32) throws(RingViolation) -> Bool {
        if isBehindHead(position) { return true }
        try lookForHead()
        return isBehindHead(position)
    }

    @inlinable func isBehindHead(_ position: UInt32) -> Bool { head &- position &- 1 < capacity }

    @inlinable mutating func lookForHead() throws(RingViolation) {
        head = try ring.position(.head, from: head, to: own)
    }
}

/// The consumer's place in a ring. The header's copy of it is for the producer: what that makes of it doesn't matter.
public struct ConsumerCursor {
    @usableFromInline let ring: SharedRing
    /// How much the ring holds, in whatever its positions count.
    public let capacity: UInt32
    @usableFromInline var own: UInt32 = 0
    /// Up to where something was seen. A producer can't take it back, and have a consumer look for it for ever.
    @usableFromInline var seen: UInt32 = 0

    /// - Parameters:
    ///   - ring: one that nothing was taken out of.
    ///   - capacity: a power of two, at most 2³¹.
    public init(_ ring: SharedRing, capacity: UInt32) {
        self.ring = ring
        self.capacity = capacity
    }

    /// How much was taken out: where what comes next stands.
    @inlinable public var head: UInt32 { own }

    /// How much waits, at most ``capacity``.
    ///
    /// - Throws: when the producer says to have put in more than there is room for, or less than it said before.
    @inlinable public mutating func waiting() throws(RingViolation) -> UInt32 {
        seen = try ring.position(.tail, from: seen, to: own &+ capacity)
        return seen &- own
    }

    /// Makes the place of the next `count` the producer's: no more than waited.
    @inlinable public mutating func take(_ count: UInt32) {
        own &+= count
        ring.release(.head, own)
    }
}
