import Linux

/// Rings with a number that grows, for those who wait for a greater one than they know.
final class Bell: Sendable {
    private struct State {
        var last = 0
        var nextWaiter = 0
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Locked(State())

    /// The number it rang with last; 0: never.
    var last: Int { state.withLock { $0.last } }

    /// A number that isn't greater than the last one is none that anybody waits for.
    func ring(_ number: Int) {
        let waiting: [Int: CheckedContinuation<Void, Never>] = state.withLock { state in
            guard number > state.last else { return [:] }
            state.last = number
            defer { state.waiting = [:] }
            return state.waiting
        }
        for waiter in waiting.values { waiter.resume() }
    }

    /// Returns when it has rung with a greater number, or the time is over.
    func next(after number: Int, until end: ContinuousClock.Instant) async {
        let key = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        let timer = Task { [self] in
            // Cancelled, it is of no more use.
            guard (try? await Task.sleep(until: end, clock: .continuous)) != nil else { return }
            state.withLock { $0.waiting.removeValue(forKey: key) }?.resume()
        }
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                // A timer that fired before this found nobody.
                guard state.last <= number, ContinuousClock.now < end else { return true }
                state.waiting[key] = continuation
                return false
            }
            if isOver { continuation.resume() }
        }
        timer.cancel()
    }
}
