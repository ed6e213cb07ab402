import CLinux
import Glibc

/// The one thread of a device: it blocks in a plain `recvmsg(2)` on its client's socket, and yet
/// notices everything else that the device waits for.
///
/// An `epoll_wait(2)` before each receive would cost a system call per message. So while a client is
/// connected a second thread, the *sentry*, sleeps in `poll(2)` on the epoll descriptor. When something
/// is ready it makes the client's socket non-blocking and signals the device's thread: a receive that
/// has begun ends with EINTR, one that is about to begin with EAGAIN; neither order of the two
/// loses the wake-up. Handlers always run on the device's thread. Idle, both threads sleep. Before it sleeps, the
/// device's thread asks for the next message for a moment where that has been worthwhile (``SpinBudget``).
///
/// Every method but ``wake()`` belongs to the thread that runs the loop.
public final class EventLoop {
    /// What a watched descriptor is ready for. `EPOLLIN`, `EPOLLOUT`
    public struct Events: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let readable = Events(rawValue: EPOLLIN.rawValue)
        public static let writable = Events(rawValue: EPOLLOUT.rawValue)
        /// Tells of each change once, whether the handler takes all that is there or not. `EPOLLET`
        public static let onceEach = Events(rawValue: EPOLLET.rawValue)
        /// The peer hung up or the descriptor failed; reported whether asked for or not.
        public static let hangUp = Events(rawValue: EPOLLHUP.rawValue | EPOLLERR.rawValue)
    }

    /// Names one watched descriptor.
    public struct Token: Hashable, Sendable {
        /// Which place of ``watches``, in the lower half; in the upper one, a running number: places are used again.
        fileprivate let number: UInt64
        fileprivate var place: Int { Int(number & 0xffff_ffff) }
    }

    private struct Watch {
        let token: Token
        let name: String
        let descriptor: Int32
        let handler: (Events) -> Void
    }

    /// Closes what the device's client has sent.
    public let clientLane: ClosingLane
    /// Closes what those who control the device have sent.
    public let controlLane: ClosingLane
    /// Closes what anybody else has sent. Their own, so that what hangs there keeps nothing of the others' open, and
    /// nobody who has no more than a serial line keeps those away who control the device.
    public let strangersLane: ClosingLane

    private let epoll: Descriptor
    private let wakeUp: EventFD
    private let sentry: Sentry
    // Nothing calls out while one of these is in use: checks at run time would find nothing.
    @exclusivity(unchecked) private var watches: [Watch?] = []
    /// Called with the name of what is ready, and for what, before its handler.
    @exclusivity(unchecked) public var onEvent: ((String, Events) -> Void)?
    private var watchesMade: UInt64 = 0
    @exclusivity(unchecked) private var polls = 0
    @exclusivity(unchecked) private var spin = SpinBudget(interval: SpinBudget.systemCallInterval)

    /// - Parameter closesAtOnce: the lanes have no threads.
    public init(closesAtOnce: Bool = false) throws(Errno) {
        clientLane = ClosingLane(name: "close client", closesAtOnce: closesAtOnce)
        controlLane = ClosingLane(name: "close control", closesAtOnce: closesAtOnce)
        strangersLane = ClosingLane(name: "close strangers", closesAtOnce: closesAtOnce)
        let epoll = Descriptor(owning: try systemCall { epoll_create1(Int32(EPOLL_CLOEXEC)) })
        let wakeUp = try EventFD()
        self.sentry = try Sentry(polling: epoll.raw)
        self.epoll = epoll
        self.wakeUp = wakeUp
        _ = try watch("wake-up", wakeUp.descriptor, for: .readable) { [wakeUp] _ in wakeUp.consume() }
    }

    deinit {
        sentry.stop()
    }

    // MARK: What to wait for

    /// Calls `handler` on the loop's thread whenever `descriptor` is ready: level-triggered, unless asked for
    /// ``Events/onceEach``.
    /// The descriptor must stay open until ``unwatch(_:)``.
    ///
    /// - Parameter name: what it is that becomes ready, for whoever sees the loop's events.
    public func watch(
        _ name: String, _ descriptor: borrowing Descriptor, for events: Events, handler: @escaping (Events) -> Void
    ) throws(Errno) -> Token {
        let place = watches.firstIndex { $0 == nil } ?? watches.count
        let token = Token(number: watchesMade << 32 | UInt64(place))
        try control(EPOLL_CTL_ADD, descriptor.raw, events, token)
        watchesMade &+= 1
        if place == watches.count { watches.append(nil) }
        watches[place] = Watch(token: token, name: name, descriptor: descriptor.raw, handler: handler)
        return token
    }

    /// Nil when it isn't watched any more.
    private func watch(_ token: Token) -> Watch? {
        guard token.place < watches.count, let watch = watches[token.place], watch.token == token else { return nil }
        return watch
    }

    /// Waits for other events on a watched descriptor from now on.
    public func change(_ token: Token, to events: Events) throws(Errno) {
        guard let watch = watch(token) else { throw .noSuchFileOrDirectory }
        try control(EPOLL_CTL_MOD, watch.descriptor, events, token)
    }

    /// Stops watching. Harmless when it is not watched any more.
    public func unwatch(_ token: Token) {
        guard let watch = watch(token) else { return }
        watches[token.place] = nil
        _ = epoll_ctl(epoll.raw, EPOLL_CTL_DEL, watch.descriptor, nil)
    }

    private func control(_ operation: Int32, _ descriptor: Int32, _ events: Events, _ token: Token) throws(Errno) {
        var event = epoll_event(events: events.rawValue, data: epoll_data_t(u64: token.number))
        let epoll = epoll.raw
        try systemCall { epoll_ctl(epoll, operation, descriptor, &event) }
    }

    // MARK: Waiting

    /// Makes the loop's thread return from its wait. Callable from any thread and often.
    public nonisolated func wake() {
        wakeUp.signal()
    }

    /// Runs the handlers of everything that is ready.
    ///
    /// - Parameter limit: how long to wait for something at most; zero: not at all, nil: without end.
    public func dispatch(within limit: Duration?) throws(Errno) {
        var ready = InlineArray<16, epoll_event>(repeating: epoll_event())
        let epoll = epoll.raw
        let timeout = limit.pollTimeout
        var span = ready.mutableSpan
        let count = try span.withUnsafeMutableBufferPointer { buffer throws(Errno) -> Int32 in
            guard let base = buffer.baseAddress else { return 0 }
            return try systemCall { epoll_wait(epoll, base, 16, timeout) }
        }
        for index in 0..<Int(count) {
            // A handler before this one may have stopped the watch.
            let event = ready[index]
            guard let watch = watch(Token(number: event.data.u64)) else { continue }
            onEvent?(watch.name, Events(rawValue: event.events))
            watch.handler(Events(rawValue: event.events))
        }
    }

    /// Does what is done when what is watched under a name is ready, whether it is or not.
    ///
    /// - Returns: false when nothing of that name is watched.
    public func play(_ name: String, _ events: Events = .readable) -> Bool {
        guard let watch = watches.lazy.compactMap(\.self).first(where: { $0.name == name }) else { return false }
        onEvent?(name, events)
        watch.handler(events)
        return true
    }

    /// Another number of the loop's own descriptor, which can be read while something is ready: for a thread that waits
    /// for that while others have the loop.
    public func readiness() throws(Errno) -> Descriptor { try epoll.duplicate() }

    /// Receives from `socket`, running handlers meanwhile. Returns at the latest after a handler ran,
    /// so that the caller can look whether it is to stop.
    ///
    /// Handlers only run when it returns `.nothing`: one of them may receive from the same socket (a device's DMA
    /// by message), behind bytes that the caller has noted.
    ///
    /// - Parameters:
    ///   - isPolling: ask again and again instead of sleeping.
    ///   - receive: receives from the socket, wherever the bytes are to go; it gets whether to wait for some.
    @inlinable
    public func receive(
        from socket: borrowing UnixSocket, isPolling: Bool = false,
        _ receive: (_ blocking: Bool) throws(Errno) -> UnixSocket.Received
    ) throws(Errno) -> UnixSocket.Received {
        if isPolling { return try poll(receive) }
        switch try attention(to: socket) {
        case .elsewhere: return .nothing
        case .asleep: return try receive(true)
        case .awake:
            let received = try ask(receive)
            return received == .nothing ? try receive(true) : received
        }
    }

    /// How a receive is to be waited for.
    @usableFromInline enum Attention {
        /// Not at all: something else had its turn.
        case elsewhere
        case asleep
        /// For a moment awake: while traffic is dense, the next message is there before this thread would sleep.
        case awake
    }

    /// Has the sentry watch, or does what it has raised an alarm for.
    @usableFromInline func attention(to socket: borrowing UnixSocket) throws(Errno) -> Attention {
        if !sentry.isWatching {
            // An alarm that ended the last receive, or came since: what was received then may have taken long.
            if sentry.takeAlarm() {
                try socket.descriptor.setNonblocking(false)
                try dispatch(within: .zero)
                return .elsewhere
            }
            try sentry.watch(over: socket.descriptor.raw)
        }
        return spin.isDue() ? .awake : .asleep
    }

    @usableFromInline func ask(
        _ receive: (_ blocking: Bool) throws(Errno) -> UnixSocket.Received
    ) throws(Errno) -> UnixSocket.Received {
        var received = UnixSocket.Received.nothing
        _ = try spin.attempt { () throws(Errno) in
            received = try receive(false)
            return received != .nothing
        }
        return received
    }

    /// How many times in a row a polling loop asks its socket before it looks after all else.
    private static let pollsBeforeDispatch = 256

    @usableFromInline func poll(
        _ receive: (_ blocking: Bool) throws(Errno) -> UnixSocket.Received
    ) throws(Errno) -> UnixSocket.Received {
        while polls < Self.pollsBeforeDispatch {
            polls += 1
            let received = try receive(false)
            if received != .nothing { return received }
        }
        polls = 0
        try dispatch(within: .zero)
        return .nothing
    }

    /// Starts the sentry, and the lanes' threads, now and on the thread that will run the loop, rather than when they
    /// have something to do: for a process that can't start a thread later. ``Sandbox``
    public func startThreads() throws(Errno) {
        try shim(clinux_prepare_brief_writes())
        try sentry.start()
        try clientLane.start()
        try controlLane.start()
        try strangersLane.start()
    }

    /// Ends the watch over a socket that is about to be closed.
    public func endReceiving() {
        sentry.endWatch()
    }
}
