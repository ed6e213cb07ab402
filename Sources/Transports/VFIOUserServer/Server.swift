import Device
import Glibc
import Linux
import Synchronization
import Tap
import VFIOUserWire

/// Serves one function on one socket, to one client at a time, on one thread.
///
/// A client that leaves takes its memory maps and interrupts with it; the device keeps its state for the next
/// one. While a client is there, others are refused with EBUSY; whoever isn't allowed, with EACCES.
public final class Server: Entrance {
    /// How the server behaves.
    public struct Configuration {
        /// Never sleep while a client is connected: faster answers for a whole processor.
        public var isPolling = false
        /// How long a client may make the device's thread wait over one message or event: to answer the DMA
        /// messages that the device sends meanwhile, and then to make room for the reply. When the time is over, the
        /// device's accesses fail; a client that makes no room is disconnected.
        public var patience: Duration = .seconds(5)
        /// Who may be a client; nil: whoever may open the socket.
        public var allowedPeers: AllowedPeers?
        /// Called on the server's thread.
        public var onEvent: (Event) -> Void = { _ in }

        public init() {}
    }

    /// What is served.
    @exclusivity(unchecked) public private(set) var function: Function
    /// That of the function's host, which outlives the function: it can be woken up from any thread.
    private let loop: EventLoop
    private let listener: UnixListener
    private let configuration: Configuration
    /// Asked for once: a process that is confined later may not ask any more.
    private let user = geteuid()
    private var session: Session?
    private var refusals: [Refused] = []
    private var untaken: [Untaken] = []
    /// The watch over the listener, while the server runs.
    private var accepting: EventLoop.Token?
    private let isStopping = Atomic<Bool>(false)

    /// What was done for clients that have left, and for none.
    private var past = Statistics()

    public init(
        _ function: Function, listener: UnixListener, configuration: Configuration = Configuration()
    ) {
        self.function = function
        loop = function.host.loop
        self.listener = listener
        self.configuration = configuration
        function.host.entrance = self
    }

    /// What the server has done since it began.
    public var statistics: Statistics {
        guard let session else { return past }
        var all = past
        all.add(session.statistics)
        return all
    }

    /// Whether a client is connected.
    public var hasClient: Bool { session != nil }

    /// Serves on the calling thread until ``stop()``.
    ///
    /// - Throws: `Errno` when the system refuses to wait. A client's errors end only its session.
    public func run() throws(Errno) {
        let loop = loop
        let retry = try TimerFD()
        let greeting = try TimerFD()
        let accepting = try loop.watch("connections", listener.descriptor, for: .readable) { [unowned self] _ in
            accept(retry, greeting)
        }
        let greeted = try loop.watch("greeting deadline", greeting.descriptor, for: .readable) { [unowned self] _ in
            greeting.consume()
            dropTheSilent()
        }
        let retrying = try loop.watch("connections: retry", retry.descriptor, for: .readable) { _ in
            retry.consume()
            try? loop.change(accepting, to: .readable)
        }
        self.accepting = accepting
        defer {
            loop.unwatch(accepting)
            loop.unwatch(retrying)
            loop.unwatch(greeted)
            endSession()
            refusals.removeAll()
        }
        while !isStopping.load(ordering: .relaxed) {
            if let session {
                serve(session)
            } else {
                try loop.dispatch(within: nil)
            }
        }
    }

    /// Makes ``run()`` return after the message in hand. Callable from any thread, and from handlers.
    public nonisolated func stop() {
        isStopping.store(true, ordering: .relaxed)
        loop.wake()
    }

    /// Takes the function's device down and makes it anew, over the same host: a client that is there notices nothing.
    /// What it has mapped stays, and so do its memory, interrupts and doorbells.
    ///
    /// On the server's thread, from a handler of its loop or while it doesn't run.
    ///
    /// - Parameter make: makes a device of the same type, with the same options.
    /// - Throws: EBUSY while the client sends a state; otherwise as ``Function/remade(_:)``. All is as it was then.
    public func remakeFunction(_ make: (Host) throws -> any Device) throws {
        guard session?.canTakeFunction ?? true else { throw Errno.resourceBusy }
        function = try function.remade(make)
        session?.take(function)
    }

    private func serve(_ session: Session) {
        do throws(Session.End) {
            while !isStopping.load(ordering: .relaxed) { try session.serve(isPolling: configuration.isPolling) }
        } catch {
            endSession()
            configuration.onEvent(.clientLeft(reason: error.description))
        }
    }

    // MARK: Entrance

    public func disconnect() {
        session?.stream.socket.shutDown()
    }

    private func endSession() {
        guard let session else { return }
        function.host.tap?.note(.client(isConnected: false))
        session.close()
        // Whatever may keep its end from being closed, the client hears at once that it is over.
        session.stream.socket.shutDown()
        if let rest = try? Untaken(of: session.stream.socket) { untaken.append(rest) }
        past.add(session.statistics)
        self.session = nil
    }

    // MARK: Clients

    /// Takes one connection: whoever connects again and again doesn't keep the present client waiting.
    private func accept(_ retry: TimerFD, _ greeting: TimerFD) {
        do throws(Errno) {
            // A client that has left makes room as soon as its last messages are read. Whoever comes meanwhile waits
            // in the backlog, so that a restarted VMM isn't refused for its own predecessor.
            if let session, try session.isAbandoned() { return }
            untaken.removeAll { !$0.remains }
            guard untaken.count < Untaken.maximumSessions else { throw .tooManyReferences }
            // A client that has sent more than could be closed makes the next one wait, in the backlog. Strangers whose
            // closes hang don't: what they send is looked at and never received, so that each takes one descriptor.
            let (lane, clientLane) = (loop.strangersLane, loop.clientLane)
            guard lane.hasRoomForConnections, session != nil || clientLane.hasRoom else { throw .tooManyReferences }
            guard let socket = try listener.accept(closedIn: lane) else { return }
            let peer = try socket.peer()
            let isAllowed = try configuration.allowedPeers?.admits(peer, at: socket, besides: user) ?? true
            if !isAllowed {
                past.deniedClients += 1
                configuration.onEvent(.clientDenied(peer))
                try refuse(socket, .permissionDenied)
            } else if session != nil {
                past.refusedClients += 1
                configuration.onEvent(.clientRefused(peer))
                try refuse(socket, .resourceBusy)
            } else {
                socket.setTakesDescriptors(true)
                let session = try Session(
                    socket.closed(in: clientLane), function: function, configuration: configuration)
                // An idle device is woken by nothing.
                session.onAgreement = { greeting.set(nil) }
                self.session = session
                function.host.tap?.note(.client(isConnected: true))
                past.sessions += 1
                greeting.set(configuration.patience)
                configuration.onEvent(.clientConnected(peer))
            }
        } catch {
            configuration.onEvent(.connectionFailed(error))
            // No descriptors or no memory. The listener stays readable: look away for a second.
            if let accepting { try? loop.change(accepting, to: []) }
            retry.set(.seconds(1))
        }
    }

    /// Whoever connects and says nothing doesn't keep the place of a client.
    private func dropTheSilent() {
        guard let session, session.client == nil else { return }
        configuration.onEvent(.clientSilent(for: configuration.patience))
        session.stream.socket.shutDown()
    }

    /// Waits for the first message of one who can't be the client, so that the refusal can answer it.
    private func refuse(_ socket: consuming UnixSocket, _ error: Errno) throws(Errno) {
        refusals.removeAll(where: \.isDone)
        // Whoever connects and stays silent is cut off when others come; first who may not be here at all.
        if refusals.count >= Refused.maximum {
            refusals.remove(at: refusals.firstIndex { $0.error == .permissionDenied } ?? 0)
        }
        refusals.append(try Refused(socket, error, loop: loop))
    }
}
