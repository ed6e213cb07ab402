import Linux

/// What happened to one function of a device process lately: the last events for whoever asks, and lines for its log.
///
/// Who connects and leaves can cause as many events as they like. So each kind has an ``Allowance`` of lines in the
/// log. What others than the client cause at will isn't even kept beyond that: it would push out what matters, and wake
/// whoever waits for events all the time. Its number is given out all the same, so that nobody overlooks that there was
/// more.
public final class EventLog {
    /// How many events are kept.
    public static let capacity = 256
    /// The longest message, in bytes; the rest is cut off.
    public static let messageLimit = 512

    /// Called when there is a new event to tell.
    var onEvent: () -> Void = {}

    private let write: (String) -> Void
    private let clock: () -> UInt64
    private var events: [ControlEvent] = []
    private var last = 0
    private var allowances: [ControlEvent.Kind: Allowance] = [:]

    /// - Parameters:
    ///   - clock: the time in nanoseconds, from any moment on.
    ///   - write: takes a line for the log.
    public init(clock: @escaping () -> UInt64 = { SystemClock.nanoseconds }, write: @escaping (String) -> Void) {
        self.clock = clock
        self.write = write
    }

    /// Takes an event.
    public func append(_ kind: ControlEvent.Kind, _ message: String) {
        last += 1
        let isAllowed = log(kind, message)
        guard isAllowed || !kind.isAtWill else { return }
        let message = String(decoding: message.utf8.prefix(Self.messageLimit), as: UTF8.self)
        if events.count == Self.capacity { events.removeFirst() }
        events.append(
            ControlEvent(number: last, time: SystemClock.secondsSinceEpoch, kind: kind.rawValue, message: message))
        onEvent()
    }

    private func log(_ kind: ControlEvent.Kind, _ message: String) -> Bool {
        var allowance = allowances[kind] ?? Allowance(20, at: clock())
        let refused = allowance.refused
        let isAllowed = allowance.take(at: clock())
        allowances[kind] = allowance
        guard isAllowed else { return false }
        if refused > 0 { write("\(refused) lines left out (\(kind.rawValue)).") }
        write(message)
        return true
    }

    /// The events behind number `after`.
    ///
    /// - Returns: nil while there is none to tell. None, with the last number, when `after` is above that: whoever asks
    ///   knows it from an earlier process.
    func newer(than after: Int) -> ControlEvents? {
        guard after <= last else { return ControlEvents(events: [], last: last, lost: 0) }
        let newer = events.filter { $0.number > after }
        return newer.isEmpty ? nil : ControlEvents(events: newer, last: last, lost: last - after - newer.count)
    }
}
