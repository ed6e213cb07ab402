import CSystemCall
import Glibc
import Linux
import Synchronization

/// Attempts where Landlock denies already and the system call filter doesn't yet, so that it shows what each does; also
/// from the thread that is started there.
enum BetweenTheTwo {
    static var attempts: [String: ((SandboxProbe.Attempt) -> Void) throws -> Void] {
        [
            "landlock-read": { try attempt($0, isOnThread: false, readFile) },
            "landlock-read-thread": { try attempt($0, isOnThread: true, readFile) },
            "landlock-create": { try attempt($0, isOnThread: false, createFile) },
            "landlock-bind-tcp": { try attempt($0, isOnThread: true, bindTCP) },
            "landlock-signal-parent": { try attempt($0, isOnThread: true, signalParent) },
            // Three times the event loop's second thread, started here, ends a receive for a timer's sake.
            "interrupted-receive": { report in
                let loop = try EventLoop()
                _ = try Sandbox.confine(limits: ResourceLimit.ofDevice()) { () throws(Errno) in
                    try loop.startThreads()
                }
                report { () throws(Errno) in try receive(by: loop, untilFired: 3) }
            },
            "landlock-version": { report in
                let version = try Sandbox.confine(limits: []) { () throws(Errno) in }
                report { () throws(Errno) in version ?? 0 }
            },
        ]
    }

    private static func receive(by loop: EventLoop, untilFired limit: Int) throws(Errno) -> Int {
        let pair = try UnixSocket.pair()
        let timer = try TimerFD()
        var fired = 0
        let token = try loop.watch("timer", timer.descriptor, for: .readable) { _ in
            timer.consume()
            fired += 1
            if fired < limit { timer.set(.milliseconds(1)) }
        }
        timer.set(.milliseconds(1))
        let buffer = try PageBuffer(count: 4096)
        var received = ReceivedDescriptors()
        while fired < limit {
            _ = try loop.receive(from: pair.first) { blocking throws(Errno) in
                try pair.first.receive(into: buffer, from: 0, descriptors: &received, blocking: blocking)
            }
        }
        loop.unwatch(token)
        loop.endReceiving()
        return fired
    }

    private static func attempt(
        _ report: (SandboxProbe.Attempt) -> Void, isOnThread: Bool, _ body: @escaping @Sendable () throws(Errno) -> Int?
    ) throws {
        let outcome = Outcome()
        _ = try Sandbox.confine(limits: []) { () throws(Errno) in
            let run = { @Sendable in
                outcome.value.withLock { $0 = Result { () throws(Errno) in try body() } }
            }
            if isOnThread { try Thread(name: "attempt", run).join() } else { run() }
        }
        report { () throws(Errno) in try outcome.value.withLock { $0 }?.get() }
    }

    private final class Outcome: Sendable {
        let value = Mutex<Result<Int?, Errno>?>(nil)
    }

    private static let readFile: @Sendable () throws(Errno) -> Int? = { () throws(Errno) in
        _ = try Descriptor(reading: "/proc/self/status")
        return nil
    }

    private static let createFile: @Sendable () throws(Errno) -> Int? = { () throws(Errno) in
        try call(
            __NR_openat, Int(AT_FDCWD), address(of: "/tmp/sandbox-probe-\(getpid())"), Int(O_CREAT | O_WRONLY), 0o600)
    }

    private static let bindTCP: @Sendable () throws(Errno) -> Int? = { () throws(Errno) in
        let socket = try call(__NR_socket, Int(AF_INET), Int(SOCK_STREAM.rawValue), 0)
        // The family; any port of any address.
        return try call(__NR_bind, socket, address(of: [UInt64(AF_INET), 0]), 16)
    }

    private static let signalParent: @Sendable () throws(Errno) -> Int? = { () throws(Errno) in
        try call(__NR_kill, Int(getppid()), 0)
    }
}
