import Linux

/// The fences that the library has told of. With Venus it tells on threads of its own.
final class DoneFences: Sendable {
    private struct State {
        var last: UInt32 = 0
        /// Of rings of contexts, in the order in which they were done.
        var ofRings: [UInt64] = []
    }

    private let state = Locked(State())
    /// Readable when one was told of. Whoever waits for it consumes it before looking.
    let event: EventFD

    init() throws(Errno) {
        event = try EventFD()
    }

    /// The number of the last fence that is done, of those that wait for everything.
    var last: UInt32 { state.withLock { $0.last } }

    func note(_ number: UInt32) {
        state.withLock { $0.last = number }
        event.signal()
    }

    func note(ofRing number: UInt64) {
        state.withLock { $0.ofRings.append(number) }
        event.signal()
    }

    /// The number of a ring's fence that is done.
    func takeNext() -> UInt64? {
        state.withLock { $0.ofRings.isEmpty ? nil : $0.ofRings.removeFirst() }
    }
}
