import Control
import Glibc
import Linux
import Mediation

/// Takes what device processes write to standard error into the logs of their vGPUs, as much of it as these may hold:
/// what a process writes beyond that is lost, and costs nobody else.
///
/// Each process writes to a pipe that has a name, and has it open for reading as well. So it goes on without a reader,
/// and when this daemon is killed the next one finds the pipe, with what was written meanwhile as far as there is room.
/// No write waits: the process's end of it is non-blocking. `fifo(7)`
final class LogCollector: Sendable {
    private let directories: Directories
    private let state: State

    /// - Throws: `eventfd(2)`'s error; `.resourceTemporarilyUnavailable` when no thread can be had.
    init(_ directories: Directories) throws(Errno) {
        self.directories = directories
        let state = State(wakeUp: try EventFD())
        _ = try Thread(name: "logs", stackSize: 256 << 10) { state.run() }
        self.state = state
    }

    deinit {
        state.isOver.withLock { $0 = true }
        state.wakeUp.signal()
    }

    /// Makes the pipe of a device process that is about to be started.
    ///
    /// - Returns: what its standard error is to be.
    func makePipe(for id: InstanceID) throws(Errno) -> Descriptor {
        let path = directories.logPipe(of: id)
        remove(id)
        try NamedPipe.make(path, mode: 0o600)
        let pipe = try LogPipe(path, into: LogFile(path: directories.log(of: id)))
        let end = try NamedPipe.writer(path)
        watch(pipe, of: id)
        return end
    }

    /// Goes on with the pipe of a device process that an earlier daemon has started. One of an earlier version has
    /// none, and writes to its log itself.
    func adopt(_ id: InstanceID) throws(Errno) {
        do throws(Errno) {
            let log = LogFile(path: directories.log(of: id))
            watch(try LogPipe(directories.logPipe(of: id), into: log), of: id)
        } catch {
            guard error == .noSuchFileOrDirectory else { throw error }
        }
    }

    /// Takes what is in the pipe now.
    func drain(_ id: InstanceID) {
        state.pipes.withLock { $0[id] }?.drain()
    }

    /// Takes what a process has left that has ended.
    func remove(_ id: InstanceID) {
        state.pipes.withLock { $0.removeValue(forKey: id) }?.drain()
        unlink(directories.logPipe(of: id))
    }

    private func watch(_ pipe: LogPipe, of id: InstanceID) {
        state.pipes.withLock { $0[id] = pipe }
        state.wakeUp.signal()
    }

    /// What the thread has in common with the collector, which it doesn't keep.
    private final class State: Sendable {
        let pipes = Locked<[InstanceID: LogPipe]>([:])
        let isOver = Locked(false)
        let wakeUp: EventFD

        init(wakeUp: EventFD) { self.wakeUp = wakeUp }

        func run() {
            while !isOver.withLock({ $0 }) {
                let now = SystemClock.nanoseconds
                let all = pipes.withLock { $0 }
                let due = all.filter { $0.value.isDue(at: now) }
                // One that has written too much is looked at again when it may go on.
                let limit: Duration? = due.count < all.count ? .seconds(1) : nil
                let descriptors = [wakeUp.descriptor.raw] + due.values.map { $0.descriptor.raw }
                let ready: [Bool]
                do throws(Errno) { ready = try waitReadable(descriptors, within: limit) } catch {
                    // Out of memory: pipes hold what is written meanwhile, as far as there is room.
                    poll(nil, 0, 1000)
                    continue
                }
                if ready[0] { wakeUp.consume() }
                for ((id, pipe), isReady) in zip(due, ready.dropFirst()) where isReady {
                    guard !pipe.take(at: SystemClock.nanoseconds) else { continue }
                    pipes.withLock { if $0[id] === pipe { $0[id] = nil } }
                }
            }
        }
    }
}

/// The end of a pipe from which a log is written.
private final class LogPipe: Sendable {
    let descriptor: Descriptor
    private let log: LogFile
    private let allowance = Locked((pieces: Allowance(20, at: SystemClock.nanoseconds), mutedUntil: 0 as UInt64))
    /// One reads at a time, so that the log has all in its order.
    private let turn = Locked(())

    /// As much as a pipe holds.
    private static let pieceSize = 64 << 10

    init(_ path: String, into log: LogFile) throws(Errno) {
        descriptor = try NamedPipe.reader(path)
        self.log = log
    }

    func isDue(at now: UInt64) -> Bool { allowance.withLock { $0.mutedUntil <= now } }

    /// Takes what is there, unless it was too much lately.
    ///
    /// - Returns: false when nobody can write any more.
    func take(at now: UInt64) -> Bool {
        let isAllowed = allowance.withLock { allowance in
            let isAllowed = allowance.pieces.take(at: now)
            if !isAllowed { allowance.mutedUntil = now &+ 1_000_000_000 }
            return isAllowed
        }
        return !isAllowed || drain()
    }

    /// Takes what is there, once.
    @discardableResult
    func drain() -> Bool {
        turn.withLock { _ in
            do throws(Errno) {
                let bytes = try descriptor.readOnce(upTo: Self.pieceSize)
                if !bytes.isEmpty { log.append(bytes) }
                return !bytes.isEmpty
            } catch {
                return error == .resourceTemporarilyUnavailable
            }
        }
    }
}
