import Device
import Linux
import Tap

/// The cable and what is at its other end: a UNIX socket, a pseudo-terminal, or nothing.
///
/// One peer at a time is connected; it may leave and another may come. Nothing blocks. While a peer is there nothing is buffered
/// here: what the card does not take stays with the peer, and the other way round. Of what is sent while nobody is there the last
/// is kept for whoever comes: it may say why a guest has stopped.
final class Line {
    private enum End {
        case nothing
        /// With what tells that the lane in which peers are closed has room again.
        case socket(UnixListener, room: EventFD)
        case terminal(Pty)
        /// Somebody plays it; what is watched is never ready by itself.
        case played(any World, EventFD)
    }

    /// Whoever is there.
    private enum Peer {
        case stream(ByteStream)
        case played(any World)
    }

    /// What the loop's events and the tap's passages call it.
    static let name = "line"
    /// What the loop's event is called when somebody comes.
    private static let arrival = "line: arrival"
    /// How much is kept of what was sent with no peer, in bytes.
    static let keptBytes = 16 << 10

    /// What was sent with no peer, and not to one since; a little more than is kept of it.
    var kept: [UInt8] = []
    private let end: End
    private let host: Host
    /// Nil while there is no peer.
    private var peer: Peer?
    /// The watch over the peer, or over the arrival of one.
    private var watch: (token: EventLoop.Token, events: EventLoop.Events)?
    /// The peer may have sent something that was not received yet.
    private var hasInput = false
    /// The peer has gone, but what it sent may not have been received yet.
    private(set) var hasHungUp = false

    /// Called on the loop's thread when something can move again, or a peer has come or gone.
    var onChange: () -> Void = {}

    /// Makes the end that the option names and waits for a peer.
    ///
    /// - Parameters:
    ///   - option: `none`, `unix:PATH`, `pty` or `pty:LINK`.
    ///   - host: has the loop that the line waits on, and the tap that sees what goes over it.
    init(_ option: String, host: Host) throws {
        self.host = host
        if let world = host.world {
            end = option == "none" ? .nothing : .played(world, try EventFD())
            if option != "none" { kept.reserveCapacity(2 * Self.keptBytes) }
            awaitPeer()
            return
        }
        let parts = option.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        end =
            switch (parts[0], parts.count > 1 ? parts[1] : nil) {
            case ("none", nil): .nothing
            case ("unix", let path?) where !path.isEmpty: .socket(try Self.listener(at: path), room: try EventFD())
            case ("pty", nil): .terminal(try Pty())
            case ("pty", let link?) where !link.isEmpty: .terminal(try Self.terminal(linkedAt: link))
            default:
                throw OptionError("Option 'line' is '\(option)' but must be none, unix:PATH, pty or pty:LINK.")
            }
        if case .nothing = end {} else { kept.reserveCapacity(2 * Self.keptBytes) }
        awaitPeer()
    }

    private static func listener(at path: String) throws(UnavailableError) -> UnixListener {
        do throws(Errno) { return try UnixListener(path: path) } catch {
            throw UnavailableError("Option 'line': \(UnixListener.explanation(of: error, at: path))")
        }
    }

    private static func terminal(linkedAt link: String) throws(UnavailableError) -> Pty {
        do throws(Errno) { return try Pty(link: link) } catch {
            let reason =
                switch error {
                case .addressInUse: "'\(link)' leads to another process's terminal; stop that or choose another path."
                case .fileExists: "'\(link)' exists and is no symbolic link; remove it or choose another path."
                case .noSuchFileOrDirectory: "The folder of '\(link)' does not exist; make it first."
                default: "The terminal at '\(link)' can't be made: \(error)."
                }
            throw UnavailableError("Option 'line': \(reason)")
        }
    }

    deinit {
        unwatch()
        shutDown()
    }

    private func shutDown() {
        if case .stream(let stream) = peer { stream.shutDown() }
    }

    /// Where a peer finds the line: the socket, or the slave of the pseudo-terminal.
    var path: String? {
        switch end {
        case .nothing, .played: nil
        case .socket(let listener, _): listener.path
        case .terminal(let pty): pty.path
        }
    }

    var isConnected: Bool { peer != nil }

    // MARK: Bytes

    /// Receives what is there.
    ///
    /// - Parameter limit: how many bytes at most; there is room for them in `bytes`.
    /// - Returns: how many bytes came.
    func receive(into bytes: inout MutableRawSpan, limit: Int) -> Int {
        guard let peer else { return 0 }
        let transfer: ByteStream.Transfer
        switch peer {
        case .stream(let stream):
            guard hasInput else { return 0 }
            transfer = stream.receive(into: &bytes, limit: limit)
        case .played(let world): transfer = world.receive(from: Self.name, into: &bytes, limit: limit)
        }
        switch transfer {
        case .bytes(let count):
            host.tap?.note(.received(Self.name), bytes.bytes.extracting(0..<count))
            // Fewer than the limit: that was all.
            hasInput = count == limit || hasHungUp
            return count
        case .blocked:
            hasInput = false
            // Somebody has opened a terminal again before all was received.
            if hasHungUp { disconnect() }
            return 0
        case .ended:
            disconnect()
            return 0
        }
    }

    /// Sends what the peer has room for. With no peer the last bytes are kept, ``keptBytes`` of them.
    ///
    /// - Returns: how many bytes are done with.
    func send(_ bytes: RawSpan) -> Int {
        sendKept()
        guard let peer, !hasHungUp else {
            keep(bytes)
            return bytes.byteCount
        }
        guard kept.isEmpty else { return 0 }
        switch send(bytes, to: peer) {
        case .bytes(let count): return count
        case .blocked: return 0
        case .ended:
            hangUp()
            keep(bytes)
            return bytes.byteCount
        }
    }

    private func send(_ bytes: RawSpan, to peer: Peer) -> ByteStream.Transfer {
        let transfer =
            switch peer {
            case .stream(let stream): stream.send(bytes)
            case .played(let world): world.send(bytes, to: Self.name)
            }
        switch transfer {
        case .bytes(let count): host.tap?.note(.sent(Self.name), bytes.extracting(0..<count))
        case .ended: host.tap?.note(.sent(Self.name))
        case .blocked: break
        }
        return transfer
    }

    private func keep(_ bytes: RawSpan) {
        if case .nothing = end { return }
        kept.append(bytes)
        if kept.count >= 2 * Self.keptBytes { kept.removeFirst(kept.count - Self.keptBytes) }
    }

    /// Sends the new peer what there is room for of what was kept. It may hang up meanwhile.
    func sendKept() {
        guard !kept.isEmpty, let peer, !hasHungUp else { return }
        kept.removeFirst(max(0, kept.count - Self.keptBytes))
        while !kept.isEmpty {
            let bytes = kept
            switch send(bytes.span.bytes, to: peer) {
            case .bytes(let count): kept.removeFirst(count)
            case .blocked: return
            case .ended: return hangUp()
            }
        }
    }

    /// Waits for what the card needs to go on.
    ///
    /// - Parameter room: whether the card has bytes that the peer had no room for.
    func wait(forRoom room: Bool) {
        guard peer != nil else { return awaitPeer() }
        guard !hasHungUp else { return }
        var events: EventLoop.Events = hasInput ? [] : .readable
        if room || !kept.isEmpty { events.insert(.writable) }
        setEvents(events)
    }

    // MARK: Peers

    /// Waits for nothing until ``wait(forRoom:)`` is called again.
    func pause() {
        unwatch()
    }

    /// Gives the peer up, with whatever it sent that was not received.
    func disconnect() {
        if peer != nil { host.tap?.note(.disconnected(Self.name)) }
        unwatch()
        shutDown()
        peer = nil
        hasInput = false
        hasHungUp = false
        awaitPeer()
    }

    /// A failure to watch or to accept (no memory, no descriptors) is tried again when the card
    /// next has reason to wait.
    private func awaitPeer() {
        guard watch == nil else { return }
        let arrival: (EventLoop.Events) -> Void = { [weak self] _ in self?.peerArrived() }
        switch end {
        case .nothing: break
        case .socket(let listener, _):
            watch = (try? host.loop.watch(Self.arrival, listener.descriptor, for: .readable, handler: arrival))
                .map { ($0, .readable) }
        case .terminal(let pty):
            watch = (try? host.loop.watch(Self.arrival, pty.openings, for: .readable, handler: arrival))
                .map { ($0, .readable) }
        case .played(_, let event):
            watch = (try? host.loop.watch(Self.arrival, event.descriptor, for: .readable, handler: arrival))
                .map { ($0, .readable) }
        }
    }

    /// Peers have sent more than could be closed: others come when there is room.
    private func awaitRoom(_ room: EventFD) throws(Errno) {
        unwatch()
        let token = try host.loop.watch("line: room", room.descriptor, for: .readable) { [weak self] _ in
            room.consume()
            self?.unwatch()
            self?.awaitPeer()
        }
        watch = (token, .readable)
        host.loop.strangersLane.signalRoom(to: room)
    }

    private func peerArrived() {
        switch end {
        case .nothing: break
        case .socket(let listener, let room):
            do throws(Errno) {
                guard host.loop.strangersLane.hasRoom else { return try awaitRoom(room) }
                guard let socket = try listener.accept(closedIn: host.loop.strangersLane) else { return }
                peer = .stream(try ByteStream(socket))
            } catch {
                return unwatch()
            }
        case .terminal(let pty):
            pty.consumeOpenings()
            guard pty.isInUse else { return }
            peer = .stream(pty.stream)
        case .played(let world, _):
            guard world.isThereSomebody(at: Self.name) else { return }
            peer = .played(world)
        }
        host.tap?.note(.connected(Self.name))
        unwatch()
        hasInput = true
        onChange()
    }

    private func streamReady(_ events: EventLoop.Events) {
        if !events.isDisjoint(with: [.readable, .hangUp]) { hasInput = true }
        if !events.isDisjoint(with: .hangUp) { hangUp() }
        onChange()
    }

    /// A hang-up is reported as long as the stream is watched, so the watch ends. The end of the stream is found
    /// by receiving.
    private func hangUp() {
        unwatch()
        hasHungUp = true
        hasInput = true
    }

    private func setEvents(_ events: EventLoop.Events) {
        guard let peer, watch?.events != events else { return }
        if let watch {
            try? host.loop.change(watch.token, to: events)
            self.watch = (watch.token, events)
        } else {
            let ready: (EventLoop.Events) -> Void = { [weak self] in self?.streamReady($0) }
            switch (peer, end) {
            case (.stream(let stream), _):
                watch = (try? host.loop.watch(Self.name, stream.descriptor, for: events, handler: ready))
                    .map { ($0, events) }
            case (_, .played(_, let event)):
                watch = (try? host.loop.watch(Self.name, event.descriptor, for: .readable, handler: ready))
                    .map { ($0, events) }
            default: break
            }
        }
    }

    private func unwatch() {
        if let watch { host.loop.unwatch(watch.token) }
        watch = nil
    }
}
