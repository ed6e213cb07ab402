import Linux
import Synchronization
import VFIO

/// The client's end of an access ring, word for word: what it puts in need not be right.
/// Documentation/AccessRing.md
public final class RawRing {
    public static let slots: UInt32 = 256

    private let memory: Mapping
    private let toServer: EventFD
    private let toClient: EventFD

    /// Offers a ring in the version message.
    public static let offer =
        #"{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"access_ring":{"version":1}}}"#

    /// Offers a ring, and takes the server's.
    ///
    /// - Throws: `.notSupported` when the server answers without one.
    public convenience init(_ client: RawClient) throws {
        try self.init(client.negotiate(Self.offer))
    }

    /// Takes the server's ring.
    ///
    /// - Parameter reply: the answer to a version message with ``offer``.
    /// - Throws: as ``init(_:)-(RawClient)``.
    public init(_ reply: RawClient.Message) throws {
        guard reply.files.count == 3 else { throw Errno.notSupported }
        memory = try Mapping(of: reply.files[0].descriptor, size: 4096 + 256 * 64)
        toServer = try EventFD(adopting: reply.files[1].descriptor.duplicate())
        toClient = try EventFD(adopting: reply.files[2].descriptor.duplicate())
    }

    public var tail: UInt32 {
        get { word(0x00).pointee.load(ordering: .acquiring) }
        set { word(0x00).pointee.store(newValue, ordering: .releasing) }
    }

    public var head: UInt32 {
        get { word(0x40).pointee.load(ordering: .acquiring) }
        set { word(0x40).pointee.store(newValue, ordering: .releasing) }
    }

    /// One of the sixteen 32-bit words of the slot of entry number `number`.
    public subscript(number: UInt32, index: Int) -> UInt32 {
        get { word(4096 + Int(number % Self.slots) * 64 + 4 * index).pointee.load(ordering: .relaxed) }
        set { word(4096 + Int(number % Self.slots) * 64 + 4 * index).pointee.store(newValue, ordering: .relaxed) }
    }

    private func word(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        // SAFETY: offsets are multiples of 4 inside the mapping; Atomic<UInt32> has the representation of UInt32.
        (memory.base + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    /// Wakes the server, asleep or not.
    public func ring() {
        toServer.signal()
    }

    /// Puts an entry behind the last.
    ///
    /// - Returns: its number.
    @discardableResult
    public func put(kind: UInt32, region: UInt32 = 0, offset: UInt64 = 4, count: UInt32 = 4, data: UInt32 = 0) -> UInt32
    {
        let number = tail
        self[number, 0] = kind
        self[number, 1] = region
        self[number, 2] = UInt32(truncatingIfNeeded: offset)
        self[number, 3] = UInt32(truncatingIfNeeded: offset >> 32)
        self[number, 4] = count
        self[number, 5] = 0xffff_ffff
        self[number, 6] = data
        tail = number &+ 1
        ring()
        return number
    }

    /// Sleeps until the server has carried out entry number `number`.
    ///
    /// - Returns: its status; nil when the server did not in ten seconds.
    public func status(of number: UInt32) -> UInt32? {
        while true {
            word(0xc0).pointee.store(1, ordering: .sequentiallyConsistent)
            if head &- number &- 1 < Self.slots { return self[number, 5] }
            if toClient.wait(within: .seconds(10)) == 0 { return nil }
        }
    }
}
