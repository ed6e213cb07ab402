import CLinux
import Glibc

/// A timer that makes a descriptor readable, for ``EventLoop``. `timerfd_create(2)`, CLOCK_MONOTONIC
public final class TimerFD: Sendable {
    public let descriptor: Descriptor

    public init() throws(Errno) {
        descriptor = Descriptor(
            owning: try systemCall { timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC | TFD_NONBLOCK)) })
    }

    /// Fires once, so long from now, in place of what was set before; nil: not at all.
    public func set(_ delay: Duration?) {
        var setting = itimerspec()
        if let delay {
            // All zeros would disarm it.
            let (seconds, attoseconds) = max(delay, .nanoseconds(1)).components
            setting.it_value.tv_sec = Int(seconds)
            setting.it_value.tv_nsec = Int(attoseconds / 1_000_000_000)
        }
        timerfd_settime(descriptor.raw, 0, &setting, nil)
    }

    /// How often it has fired since last asked, at least.
    @discardableResult
    public func consume() -> UInt64 {
        var count: UInt64 = 0
        return Glibc.read(descriptor.raw, &count, 8) == 8 ? count : 0
    }
}
