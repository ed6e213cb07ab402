import Device
import Linux

/// The cable and what is at its other end: a UNIX socket, a pseudo-terminal, or nothing.
///
/// One peer at a time is connected; it may leave and another may come. Nothing blocks and nothing is
/// buffered here: what the card does not take stays with the peer, and the other way round.
final class Line {
    private enum End {
        case nothing
        case socket(UnixListener)
        case terminal(Pty)
    }

    private let end: End
    private let loop: EventLoop
    /// The peer's bytes; nil while there is no peer.
    private var stream: ByteStream?
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
    /// - Parameter option: `none`, `unix:PATH`, `pty` or `pty:LINK`.
    init(_ option: String, loop: EventLoop) throws {
        self.loop = loop
        let parts = option.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        end =
            switch (parts[0], parts.count > 1 ? parts[1] : nil) {
            case ("none", nil): .nothing
            case ("unix", let path?) where !path.isEmpty: .socket(try UnixListener(path: path))
            case ("pty", nil): .terminal(try Pty())
            case ("pty", let link?) where !link.isEmpty: .terminal(try Pty(link: link))
            default:
                throw OptionError("Option 'line' is '\(option)' but must be none, unix:PATH, pty or pty:LINK.")
            }
        awaitPeer()
    }

    deinit {
        unwatch()
    }

    /// Where a peer finds the line: the socket, or the slave of the pseudo-terminal.
    var path: String? {
        switch end {
        case .nothing: nil
        case .socket(let listener): listener.path
        case .terminal(let pty): pty.path
        }
    }

    var isConnected: Bool { stream != nil }

    // MARK: Bytes

    /// Receives what is there.
    ///
    /// - Parameter limit: how many bytes at most; there is room for them in `bytes`.
    /// - Returns: how many bytes came.
    func receive(into bytes: inout MutableRawSpan, limit: Int) -> Int {
        guard let stream, hasInput else { return 0 }
        switch stream.receive(into: &bytes, limit: limit) {
        case .bytes(let count):
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

    /// Sends what the peer has room for. With no peer the bytes are lost, as on an open cable.
    ///
    /// - Returns: how many bytes are done with.
    func send(_ bytes: RawSpan) -> Int {
        guard let stream, !hasHungUp else { return bytes.byteCount }
        switch stream.send(bytes) {
        case .bytes(let count): return count
        case .blocked: return 0
        case .ended:
            hangUp()
            return bytes.byteCount
        }
    }

    /// Waits for what the card needs to go on.
    ///
    /// - Parameter room: whether the card has bytes that the peer had no room for.
    func wait(forRoom room: Bool) {
        guard stream != nil else { return awaitPeer() }
        guard !hasHungUp else { return }
        var events: EventLoop.Events = hasInput ? [] : .readable
        if room { events.insert(.writable) }
        setEvents(events)
    }

    // MARK: Peers

    /// Waits for nothing until ``wait(forRoom:)`` is called again.
    func pause() {
        unwatch()
    }

    /// Gives the peer up, with whatever it sent that was not received.
    func disconnect() {
        unwatch()
        stream = nil
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
        case .socket(let listener):
            watch = (try? loop.watch(listener.descriptor, for: .readable, handler: arrival)).map { ($0, .readable) }
        case .terminal(let pty):
            watch = (try? loop.watch(pty.openings, for: .readable, handler: arrival)).map { ($0, .readable) }
        }
    }

    private func peerArrived() {
        switch end {
        case .nothing: break
        case .socket(let listener):
            do throws(Errno) {
                guard let socket = try listener.accept() else { return }
                stream = try ByteStream(socket)
            } catch {
                return unwatch()
            }
        case .terminal(let pty):
            pty.consumeOpenings()
            guard pty.isInUse else { return }
            stream = pty.stream
        }
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
        guard let stream, watch?.events != events else { return }
        if let watch {
            try? loop.change(watch.token, to: events)
            self.watch = (watch.token, events)
        } else {
            watch = (try? loop.watch(stream.descriptor, for: events) { [weak self] in self?.streamReady($0) })
                .map { ($0, events) }
        }
    }

    private func unwatch() {
        if let watch { loop.unwatch(watch.token) }
        watch = nil
    }
}
