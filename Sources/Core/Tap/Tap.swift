/// Sees what passes between a function and the world, in the order in which the device lives it: what a watcher counts.
///
/// A tap is given to `Host.tap`. It is called on the device's thread: before the device acts on what is written or rung or has
/// happened, and when the bytes of a read are there. It calls nothing of the function's. While there is none, each passage costs one
/// comparison.
///
/// It doesn't see, so far: what guests read and write in memory that a BAR maps, the bytes of a serial line, a renderer's work, and what
/// the hypervisor or an administrator does to the function (reset, stand still, restore, map, monitors, quota).
public protocol Tap: AnyObject {
    /// - Parameters:
    ///   - passage: what passed.
    ///   - bytes: those that went with it, in memory's order; none where ``Passage`` says nothing of them. They are valid during the
    ///     call alone.
    func note(_ passage: Passage, _ bytes: RawSpan)
}

extension Tap {
    /// Notes what has no bytes.
    public func note(_ passage: Passage) { note(passage, RawSpan()) }
}

/// One thing that passes between a function and the world.
public enum Passage: Hashable, Sendable {
    /// The guest has read these bytes of a region, by whatever way: a message, the access ring, an ioregion, a program in this process.
    case read(region: Int, offset: UInt64)
    /// The guest has written these bytes to a region. A doorbell that is written and not signalled is one of these.
    case write(region: Int, offset: UInt64)
    /// A doorbell's eventfd was signalled so many times since the device last heard of it. The bytes are the value that the guest
    /// has left for it, one `UInt64`; there are none for a doorbell that keeps no value.
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
    /// A descriptor or a timer of the loop was ready, which has this name.
    case event(String)
    /// The device has looked at the clock. The bytes are the nanoseconds: one `UInt64`.
    case clock
    /// The device has taken these random bytes.
    case random
}
