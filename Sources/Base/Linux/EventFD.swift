import CLinux
import Glibc

/// A counter that wakes whoever waits for it, in this process, another one, or the kernel (KVM's
/// irqfd and ioeventfd). `eventfd(2)`
public final class EventFD: Sendable {
    public let descriptor: Descriptor

    /// A new, non-blocking eventfd whose counter is 0.
    public init() throws(Errno) {
        descriptor = Descriptor(owning: try systemCall { eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)) })
    }

    /// Takes over a descriptor from a peer.
    ///
    /// A peer may send a blocking one whose counter is full, or make it so at any moment. Changing its flags would
    /// change the peer's too, so ``signal()`` asks first whether a write can block, and gives up soon where it does
    /// nevertheless.
    ///
    /// - Throws: `.invalidArgument` when it is no eventfd: a write to it might block or do anything. `readlink(2)`'s
    ///   error when that can't be told, as where /proc is not mounted.
    public init(adopting descriptor: consuming Descriptor) throws(Errno) {
        guard try shim(clinux_is_eventfd(descriptor.raw)) != 0 else { throw .invalidArgument }
        self.descriptor = descriptor
    }

    /// Adds 1 to the counter. A full counter is left as it is: its owner has an event pending anyway.
    ///
    /// - Returns: false when the counter was full or the descriptor can't be written.
    @discardableResult
    public func signal() -> Bool {
        var writable = pollfd(fd: descriptor.raw, events: Int16(POLLOUT), revents: 0)
        guard poll(&writable, 1, 0) == 1, writable.revents & Int16(POLLOUT) != 0 else { return false }
        // Who has filled it since, and made it block, holds this thread for a second.
        var one: UInt64 = 1
        return clinux_write_briefly(descriptor.raw, &one, 8) == 8
    }

    /// Takes the counter's value and makes it 0.
    ///
    /// - Returns: 0 when nothing was signalled, or when there is nothing to read.
    @discardableResult
    public func consume() -> UInt64 {
        // Never blocks, whatever flags a peer gives the file that it shares, and if it reads at the same moment.
        var value: UInt64 = 0
        return clinux_read_available(descriptor.raw, &value, 8) == 8 ? value : 0
    }

    /// Waits until the counter is not 0, and takes it.
    ///
    /// - Parameter limit: how long to wait at most; nil: without end.
    /// - Returns: the value, or 0 when the time ran out.
    public func wait(within limit: Duration?) -> UInt64 {
        var readable = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        while true {
            let ready = poll(&readable, 1, limit.pollTimeout)
            if ready < 0 && errno == EINTR { continue }
            return ready == 1 ? consume() : 0
        }
    }
}
