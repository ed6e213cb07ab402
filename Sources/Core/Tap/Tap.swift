/// Sees what passes between a function and the world, in the order in which the device lives it: what a watcher counts.
///
/// A tap is given to `Host.tap`. It is called on the device's thread: before the device acts on what is written or rung
/// or has happened, and when the bytes of a read are there. It calls nothing of the function's. While there is none,
/// each passage costs one comparison.
///
/// What a guest reads and writes in memory that a BAR maps passes nobody; what the device takes of it for its work is
/// seen. The pixels that somebody looks at aren't: they change nothing of the device. Nor is what a worker process,
/// such as a renderer, does by itself in memory that it shares with the device or the guest.
public protocol Tap: AnyObject {
    /// - Parameters:
    ///   - passage: what passed.
    ///   - bytes: those that went with it, in memory's order; none where ``Passage`` says nothing of them. They are
    ///     valid during the
    ///     call alone.
    func note(_ passage: Passage, _ bytes: RawSpan)

    /// An access begins, which a ``Passage/read(region:offset:by:)`` or a ``Passage/write(region:offset:by:)`` will
    /// tell of, unless it is refused. Nothing is done unless somebody wants to know how long accesses take.
    ///
    /// - Parameter isRead: it is a read, whose passage is noted behind all that it has led to.
    func accessBegins(isRead: Bool)
    /// It is carried out, with all that the device has done for it.
    func accessEnds()

    /// False: large accesses to memory that can be mapped may go by ways on which they aren't seen.
    var seesAll: Bool { get }
}

extension Tap {
    /// Notes what has no bytes.
    public func note(_ passage: Passage) { note(passage, RawSpan()) }

    public func accessBegins(isRead: Bool) {}
    public func accessEnds() {}
    public var seesAll: Bool { true }
}

/// By which way an access came to the function.
public enum Way: UInt8, CaseIterable, Sendable {
    /// A hypervisor or a program asks the function in its own process.
    case call = 1
    /// A message of vfio-user's.
    case message
    /// An entry of the access ring.
    case ring
    /// A command from KVM by an ioregionfd.
    case ioregion
    /// What a processor asks of a device model of Xen's.
    case request
}

/// One thing that passes between a function and the world.
public enum Passage: Hashable, Sendable {
    /// The guest has read these bytes of a region.
    case read(region: Int, offset: UInt64, by: Way)
    /// The guest has written these bytes to a region. A doorbell that is written and not signalled is one of these.
    case write(region: Int, offset: UInt64, by: Way)
    /// A doorbell's eventfd was signalled so many times since the device last heard of it. The bytes are the value that
    /// the guest has left for it, one `UInt64`; there are none for a doorbell that keeps no value.
    case doorbell(bar: Int, offset: UInt64, times: UInt64)
    /// The device has read these bytes of guest memory.
    case memoryRead(address: UInt64)
    /// The device has written these bytes to guest memory.
    case memoryWrite(address: UInt64)
    /// The device could not read or write guest memory at this address.
    case memoryFault(address: UInt64)
    /// The device has asked for the message of a vector, whether it goes out now, or waits behind a mask.
    case message(vector: Int)
    /// The device has changed the level of its pin.
    case pin(isAsserted: Bool)
    /// The device has looked at these bytes of memory of its own that the guest may write to meanwhile, which it has by
    /// this name.
    case look(memory: String, offset: Int)
    /// The function is reset, by the hypervisor or by the guest.
    case reset
    /// The hypervisor has the function stand still, or go on.
    case running(Bool)
    /// Another state takes the place of the function's.
    case restored
    /// The hypervisor has made guest memory available. `size` is in bytes.
    case mapped(address: UInt64, size: UInt64)
    /// The hypervisor takes the map of these bounds away.
    case unmapped(address: UInt64, size: UInt64)
    /// The hypervisor takes all maps away.
    case unmappedAll
    /// An administrator asks for other limits: the bytes of video memory, and the pictures a second. Nil: as before.
    case quota(videoMemory: Int?, frameRate: Int?)
    /// An administrator asks for a monitor of so many pixels at a head, or for none: 0 by 0.
    case monitor(head: Int, width: Int, height: Int)
    /// There is somebody at the other end of what the device has under this name, such as a serial line.
    case connected(String)
    /// There is nobody any more.
    case disconnected(String)
    /// The device has received these bytes from the other end.
    case received(String)
    /// The device has sent these bytes to the other end; none: it has found that nobody takes any there.
    case sent(String)
    /// A descriptor or a timer of the loop was ready, which has this name. The bytes say for what, as epoll(7) does: one
    /// `UInt32`.
    case event(String)
    /// The device has looked at the clock. The bytes are the nanoseconds: one `UInt64`.
    case clock
    /// The device has taken these random bytes.
    case random
    /// A client of a transport's comes, or has left.
    case client(isConnected: Bool)
    /// A client has sent a message that is no access, of this command. The bytes are what follows its header.
    /// `descriptors` says which kinds of them came along: words of `ReceivedDescriptors.kinds`.
    case command(number: Int, descriptors: String)
    /// The device takes a chain from this virtqueue. The bytes are those that it can read of it, at most
    /// ``virtqueueBytes`` of them; there are none where memory is reached by messages only.
    case request(queue: Int)
    /// The device gives a chain back to this virtqueue. The bytes are those that it has written to it, as of
    /// ``request(queue:)``.
    case completion(queue: Int)
    /// The message of a vector waits behind a mask, or since it has no way to the guest now; or it waits no more: it has
    /// gone out later, or is forgotten.
    case pending(vector: Int, Bool)
    /// Somebody's rule with this number alters the passage that comes next, or keeps it from coming.
    case altered(rule: Int)

    /// How many bytes of a virtqueue's chain are shown at most.
    public static let virtqueueBytes = 1 << 20
}
