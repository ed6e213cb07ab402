import CLinux
import Glibc
import Synchronization

/// The thread that sleeps beside a device's thread and interrupts its receive when the event loop has
/// something to do. See ``EventLoop`` for why.
///
/// The state says whose turn it is: *parked* and *watching* are set by the device's thread, *alarming*
/// and *alarmed* by the sentry. Everything that touches the client's socket from the sentry lies between
/// the last two, and the device's thread waits for the second, so that the socket can't be closed meanwhile.
final class Sentry: Sendable {
    private enum State {
        static let parked: UInt32 = 0
        static let watching: UInt32 = 1
        static let alarming: UInt32 = 2
        static let alarmed: UInt32 = 3
        static let ended: UInt32 = 4
    }

    private let epoll: Int32
    /// Tells the sentry that the state has changed.
    private let news: EventFD
    private let state = Atomic<UInt32>(State.parked)
    private let socket = Atomic<Int32>(-1)
    private let deviceThread = Atomic<UInt>(0)
    private let thread = Locked<Thread?>(nil)

    private static let interruption = clinux_sentry_signal()

    /// - Parameter epoll: what to poll. Must stay open until ``stop()``.
    init(polling epoll: Int32) throws(Errno) {
        self.epoll = epoll
        self.news = try EventFD()
    }

    // MARK: The device's thread

    /// Starts the sentry's own thread, unless it runs already.
    func start() throws(Errno) {
        guard deviceThread.load(ordering: .relaxed) == 0 else { return }
        clinux_install_interrupting_signal(Self.interruption)
        // The thread must not keep the sentry alive: stop() ends it before the sentry goes.
        let started = try Thread(name: "sentry") { [unowned self] in run() }
        thread.withLock { $0 = started }
        deviceThread.store(pthread_self(), ordering: .relaxed)
    }

    /// Begins to guard the calling thread's receives on `socket`, unless it is done already.
    func watch(over socket: Int32) throws(Errno) {
        guard state.load(ordering: .relaxed) == State.parked else { return }
        try start()
        self.socket.store(socket, ordering: .relaxed)
        deviceThread.store(pthread_self(), ordering: .relaxed)
        state.store(State.watching, ordering: .releasing)
        news.signal()
    }

    /// Whether the watch has begun, and there was no alarm since.
    var isWatching: Bool { state.load(ordering: .relaxed) == State.watching }

    /// Whether the receive that just returned was interrupted, or the next one would be. The watch is
    /// over then, and the socket non-blocking.
    func takeAlarm() -> Bool {
        guard state.load(ordering: .acquiring) >= State.alarming else { return false }
        finishAlarm()
        return true
    }

    /// Ends the watch. On return the sentry will not touch the socket any more.
    func endWatch() {
        let (exchanged, was) = state.compareExchange(
            expected: State.watching, desired: State.parked, ordering: .acquiringAndReleasing)
        if !exchanged && was >= State.alarming { finishAlarm() }
    }

    private func finishAlarm() {
        while state.load(ordering: .acquiring) == State.alarming { sched_yield() }
        state.store(State.parked, ordering: .releasing)
    }

    /// Ends the thread. Nobody may call anything else afterwards.
    func stop() {
        endWatch()
        state.store(State.ended, ordering: .releasing)
        news.signal()
        thread.withLock { $0.take() }?.join()
    }

    // MARK: The sentry's own thread

    private func run() {
        while state.load(ordering: .acquiring) != State.ended {
            guard state.load(ordering: .acquiring) == State.watching else {
                _ = news.wait(within: nil)
                continue
            }
            var entries = [
                pollfd(fd: epoll, events: Int16(POLLIN), revents: 0),
                pollfd(fd: news.descriptor.raw, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&entries, 2, -1) > 0 else { continue }
            if entries[1].revents != 0 { news.consume() }
            if entries[0].revents != 0 { alarm() }
        }
    }

    private func alarm() {
        let (exchanged, _) = state.compareExchange(
            expected: State.watching, desired: State.alarming, ordering: .acquiringAndReleasing)
        guard exchanged else { return }
        let socket = socket.load(ordering: .relaxed)
        _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK)
        pthread_kill(deviceThread.load(ordering: .relaxed), Self.interruption)
        state.store(State.alarmed, ordering: .releasing)
    }
}
