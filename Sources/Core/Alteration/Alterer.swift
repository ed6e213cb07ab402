import Linux
import Tap

/// Alters what passes between a function and the world, for somebody who wants to see what a driver or a device makes
/// of it.
///
/// It is given to `Host.alterer`, and asked on the device's thread. While there is none, nothing of this costs more
/// than the comparison that a tap costs. A tap sees what has passed in the end.
public protocol Alterer: AnyObject {
    /// What is to be done with a passage: it is asked once for each that can be altered.
    ///
    /// - Parameters:
    ///   - passage: a read, for which the device has its answer ready; or a write, a doorbell, an access to guest
    ///     memory, a message or a change of the pin before it takes place. A read of guest memory has taken place.
    ///   - bytes: those that go with it, valid during the call alone.
    /// - Returns: nil when it is to pass as it is.
    func alteration(of passage: Passage, _ bytes: RawSpan) -> Alteration?

    /// Whether a passage is to wait: it is asked once, before ``alteration(of:_:)``.
    ///
    /// - Parameters:
    ///   - passage: an access that has come, a doorbell, a message or a change of the pin.
    ///   - bytes: those that go with it; none of a read.
    ///   - start: since when somebody may wait for what comes behind others that waited: the limit holds from then
    ///     on. In nanoseconds, `CLOCK_MONOTONIC`; nil: from now on.
    ///   - goOn: called once, on the device's thread, when it has waited enough, unless it is cancelled. It tells
    ///     whether that was in time.
    /// - Returns: nil when it is to pass now.
    func parking(
        of passage: Passage, _ bytes: RawSpan, since start: UInt64?, goOn: @escaping (_ isInTime: Bool) -> Void
    ) -> Parking?
}

/// What becomes of a passage that is altered.
public enum Alteration: Equatable, Sendable {
    /// It passes with other bytes.
    case change(Change)
    /// Whoever asked is told that it failed.
    case refuse(Errno)
    /// It doesn't take place, and whoever asked isn't told.
    case drop
    /// It takes place so many times more.
    case again(times: Int)
}

/// Something that waits before it passes.
public final class Parking {
    private var onCancel: (() -> Void)?

    /// - Parameter onCancel: whoever has it waited for forgets it.
    public init(onCancel: @escaping () -> Void) {
        self.onCancel = onCancel
    }

    /// It will never go on: the one who asked for it is gone.
    public func cancel() {
        onCancel?()
        onCancel = nil
    }
}
