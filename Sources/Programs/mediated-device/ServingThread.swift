import Linux
import Synchronization

/// A function that is served beside the first one, by a thread of its own: no client of one keeps another's waiting.
final class ServingThread: Sendable {
    /// Until the thread takes it.
    private let function: Locked<ServedFunction?>
    private let stopSignal: StopSignal
    private let thread = Locked<Thread?>(nil)
    /// Why the thread couldn't begin, or why it has ended.
    private let error = Locked<Errno?>(nil)
    private let hasBegun: EventFD
    private let turn: EventFD
    private let mayServe = Atomic<Bool>(false)

    init(_ function: consuming sending ServedFunction, stopSignal: StopSignal) throws(Errno) {
        hasBegun = try EventFD()
        turn = try EventFD()
        self.stopSignal = stopSignal
        self.function = Locked(function)
    }

    /// Starts the thread, and those that its loop has: for a process that can start none later. It serves nobody yet.
    func start() throws(Errno) {
        // As much stack as the process's first thread has.
        let started = try Thread(name: "function", stackSize: 8 << 20) { [self] in run() }
        thread.withLock { $0 = started }
        _ = hasBegun.wait(within: nil)
        if let error = error.withLock({ $0 }) { throw error }
    }

    func serve() {
        mayServe.store(true, ordering: .releasing)
        turn.signal()
    }

    /// Waits until the thread has ended, which it does by the ``StopSignal``, or because it was never to serve.
    ///
    /// - Returns: the error for which it ended, if it was one.
    func join() -> Errno? {
        turn.signal()
        thread.take()?.join()
        return error.withLock { $0 }
    }

    private func run() {
        guard let taken = function.take() else { return }
        do throws(Errno) {
            try taken.loop.startThreads()
            hasBegun.signal()
            _ = turn.wait(within: nil)
            if mayServe.load(ordering: .acquiring) { try taken.run() }
        } catch {
            self.error.withLock { $0 = error }
            hasBegun.signal()
            stopSignal.send()
        }
    }
}
