import Glibc
import Synchronization

/// A thread that does nothing but let go of what one peer, or one kind of peers, has sent.
///
/// The last close of a file takes as long as whoever made the file likes: a TCP socket with `SO_LINGER` waits until
/// what it has to send has gone, a file of a file system that a process serves (FUSE) until that process answers, and a
/// signal doesn't end the wait. So a thread that serves others closes nothing that a peer has sent, nor a socket in
/// which such descriptors may wait unread: a ``Descriptor`` that belongs to a lane goes there when its owner drops it.
/// A close that hangs keeps waiting what the same peers have sent, and nobody else.
///
/// The thread is there while it has something to do, unless ``start()`` was called.
public final class ClosingLane: Sendable {
    /// How many things may wait to be let go before nothing more is taken from the peers: see ``hasRoom``.
    public static let capacity = 512

    private enum Item {
        case descriptor(Int32)
        /// SAFETY: nobody else knows the mapping any more.
        case mapping(UInt, Int)

        func letGo() {
            switch self {
            case .descriptor(let raw): Glibc.close(raw)
            case .mapping(let base, let size): munmap(UnsafeMutableRawPointer(bitPattern: base), size)
            }
        }
    }

    private struct State {
        var waiting: ArraySlice<Item> = []
        var hasThread = false
        /// Tells a thread that stays that something waits.
        var bell: EventFD?
        /// Those to be told that there is room.
        var awaiting: [EventFD] = []
    }

    private let name: String
    private let closesAtOnce: Bool
    /// How many connections may wait besides: see ``hasRoomForConnections``. An eighth of the descriptors that this
    /// process may have, and at most 512. Asked for once: a process that is confined later may not ask any more.
    private let connections = min(512, sysconf(Int32(_SC_OPEN_MAX)) / 8)
    private let state = Locked(State())
    private let count = Atomic<Int>(0)

    /// - Parameters:
    ///   - name: of the thread; at most 15 bytes are kept.
    ///   - closesAtOnce: there is no thread, whoever drops something lets go of it: for a process that knows its peers,
    ///     being
    ///     them itself, as a fuzzer is.
    public init(name: String, closesAtOnce: Bool = false) {
        self.name = name
        self.closesAtOnce = closesAtOnce
    }

    /// Whether more may be taken from those whose lane it is. Whoever asks before each message leaves at most what one
    /// message carries beyond ``capacity``.
    public var hasRoom: Bool { count.load(ordering: .relaxed) < Self.capacity }

    /// Whether a connection may be accepted that is then looked at and dropped here, with all that lies unread in it:
    /// it takes one descriptor.
    ///
    /// Who has connected is known when the connection is accepted, and then nothing but its close, which may hang, ends
    /// it. So those that aren't wanted pile up behind a close that hangs, and those that are wanted are served past
    /// them until there are too many: then all wait in the listener's backlog. No other bound would be better, since
    /// each can be reached in no time by somebody who may connect. Only the permissions of a socket keep strangers from
    /// its backlog, and Linux 6.16 keeps descriptors from what they send.
    public var hasRoomForConnections: Bool { count.load(ordering: .relaxed) < Self.capacity + connections }

    /// Waits for ``hasRoom``: one that only has much to do makes room in no time, one that hangs may never.
    ///
    /// - Returns: false when the time ran out.
    public func waitForRoom(within limit: Duration) -> Bool {
        // Asked before each message, and nearly always so: without a look at the clock.
        hasRoom || waitForOthers(within: limit)
    }

    private func waitForOthers(within limit: Duration) -> Bool {
        let deadline = Deadline(after: limit)
        while !hasRoom {
            guard !deadline.hasPassed else { return false }
            poll(nil, 0, 1)
        }
        return true
    }

    /// Signals `event` once, as soon as there is room: at once where there is. For whoever has an ``EventLoop`` to wait
    /// in.
    public func signalRoom(to event: EventFD) {
        state.withLock { state in
            if !state.awaiting.contains(where: { $0 === event }) { state.awaiting.append(event) }
            signalRoom(&state)
        }
    }

    private func signalRoom(_ state: inout State) {
        guard !state.awaiting.isEmpty, hasRoom else { return }
        for event in state.awaiting { event.signal() }
        state.awaiting = []
    }

    /// Starts the thread now, and for as long as the process lives: for a process that can't start one later.
    /// ``Sandbox``
    public func start() throws(Errno) {
        guard !closesAtOnce else { return }
        let bell = try EventFD()
        try state.withLock { state throws(Errno) in
            guard state.bell == nil else { return }
            if !state.hasThread { _ = try Thread(name: name) { [self] in run() } }
            state.hasThread = true
            state.bell = bell
        }
    }

    // MARK: Those who let go

    func close(_ raw: Int32) { add(.descriptor(raw)) }

    /// Takes a mapping away, and with it perhaps the last reference to a file whose pages it takes long to give back.
    /// `munmap(2)`
    func unmap(_ base: UnsafeMutableRawPointer, size: Int) { add(.mapping(UInt(bitPattern: base), size)) }

    private func add(_ item: Item) {
        if closesAtOnce { return item.letGo() }
        count.add(1, ordering: .relaxed)
        state.withLock { state in
            if state.waiting.isEmpty { state.bell?.signal() }
            state.waiting.append(item)
            // With no thread to be had it waits for the next one that comes: closed here it might hold this thread.
            if !state.hasThread { state.hasThread = (try? Thread(name: name) { [self] in run() }) != nil }
        }
    }

    // MARK: The thread

    private func run() {
        while let item = next() {
            item.letGo()
            count.subtract(1, ordering: .relaxed)
        }
    }

    /// What is to be let go next; nil when the thread is to end.
    private func next() -> Item? {
        while true {
            let (item, bell) = state.withLock { state in
                signalRoom(&state)
                let item = state.waiting.popFirst()
                if item == nil, state.bell == nil { state.hasThread = false }
                return (item, state.bell)
            }
            guard item == nil, let bell else { return item }
            _ = bell.wait(within: nil)
        }
    }

    // MARK: Peers that this process connects to

    private struct Weak {
        weak var lane: ClosingLane?
    }

    private static let lanes = Locked<[String: Weak]>([:])

    /// The lane of one peer, the same as long as anything is to be let go there.
    ///
    /// - Parameter peer: what tells it from others, such as the path of its socket.
    public static func of(peer: String) -> ClosingLane {
        lanes.withLock { lanes in
            if let lane = lanes[peer]?.lane { return lane }
            lanes = lanes.filter { $0.value.lane != nil }
            let lane = ClosingLane(name: "close")
            lanes[peer] = Weak(lane: lane)
            return lane
        }
    }
}
