import Device
import Linux

/// A function that its own thread and others take in turns, one at a time: its events happen on its own, accesses on
/// those of the vCPUs, which need not wait for another thread to wake up.
final class FunctionThread: Sendable {
    private let core: Core
    private let thread: Thread

    /// - Parameter make: makes the function on a host of its own.
    init(name: String, make: sending (Host) throws -> Function) throws {
        let core = try Core(make)
        self.core = core
        thread = try Thread(name: name) { core.run() }
    }

    deinit {
        core.stop.signal()
        thread.join()
    }

    /// Has the function to itself while `body` runs.
    func withFunction<Value: Sendable>(_ body: (Function) throws -> Value) rethrows -> Value {
        try core.turn.withLock { _ in try body(core.function) }
    }

    /// The eventfd that rings a doorbell; the same one each time it is asked for.
    func eventFD(of doorbell: Doorbell, bar: Int) throws(Errno) -> EventFD {
        try core.turn.withLock { _ throws(Errno) in try core.doorbells.eventFD(of: doorbell, bar: bar) }
    }

    // SAFETY, of the conformance: `function` and `doorbells` are touched by whoever holds `turn`, and by nobody else
    // once the thread has begun.
    private final class Core: @unchecked Sendable {
        let function: Function
        let doorbells: DoorbellTable
        let turn = Locked<Void>(())
        let stop: EventFD
        /// Readable while the function's loop has something to do.
        private let readiness: Descriptor

        init(_ make: (Host) throws -> Function) throws {
            let host = Host(loop: try EventLoop())
            function = try make(host)
            doorbells = DoorbellTable(function)
            stop = try EventFD()
            readiness = try host.loop.readiness()
        }

        func run() {
            while true {
                // Nobody else's turn is taken while there is nothing to do.
                guard let ready = try? waitReadable([stop.descriptor.raw, readiness.raw], within: nil) else {
                    continue
                }
                if ready[0] { return }
                turn.withLock { _ in try? function.host.loop.dispatch(within: .zero) }
            }
        }
    }
}
