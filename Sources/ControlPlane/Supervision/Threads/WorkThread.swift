import Linux

/// A thread that does one thing after the other, in the order of asking.
final class WorkThread: Sendable {
    private let queue: Queue

    /// - Throws: `.resourceTemporarilyUnavailable` when no thread can be had; `eventfd(2)`'s error.
    init(name: String) throws(Errno) {
        let queue = Queue(bell: try EventFD())
        _ = try Thread(name: name) { queue.run() }
        self.queue = queue
    }

    /// The thread ends when it has done what it was asked for.
    deinit { queue.end() }

    /// Has something done when all is done that was asked for before, and waits for it. Whoever asks twice, one after
    /// the other without an `await` in between, has it done in that order.
    func perform<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.add { continuation.resume(with: Result(catching: body)) }
        }
    }

    /// What the thread has in common with its owner, whom it doesn't keep.
    private final class Queue: Sendable {
        private struct State {
            var waiting: [@Sendable () -> Void] = []
            var isOver = false
        }

        private let state = Locked(State())
        private let bell: EventFD

        init(bell: EventFD) { self.bell = bell }

        func add(_ work: @escaping @Sendable () -> Void) {
            state.withLock { $0.waiting.append(work) }
            bell.signal()
        }

        func end() {
            state.withLock { $0.isOver = true }
            bell.signal()
        }

        func run() {
            while true {
                let (work, isOver) = state.withLock { state in
                    defer { state.waiting = [] }
                    return (state.waiting, state.isOver)
                }
                for work in work { work() }
                if work.isEmpty {
                    if isOver { return }
                    _ = bell.wait(within: nil)
                }
            }
        }
    }
}
