import Device
import DeviceCatalog
import Glibc
import Linux
import Synchronization
import VFIOUserServer

/// A device behind a vfio-user server of its own: a thread of this process and a socket in the folder for
/// temporary files.
public final class ServedDevice: Sendable {
    /// Where clients connect: to the server, or to what stands before it.
    public let path: String
    private let core: Core
    private let observed: ObservedServer?
    private let thread: Thread
    private let isStopped = Atomic<Bool>(false)

    private static let made = Atomic<Int>(0)

    /// Serves a device of ``DeviceCatalog``.
    ///
    /// - Parameters:
    ///   - type: its name.
    ///   - options: `KEY=VALUE` each.
    ///   - mode: the permissions of the socket.
    ///   - takesDescriptors: whether those who connect may send descriptors at once, as on a kernel that can't keep
    ///     them from it.
    public convenience init(
        _ type: String, options: [String] = [], mode: UInt32 = 0o600, takesDescriptors: Bool = false,
        configuration: Server.Configuration = Server.Configuration()
    ) throws {
        try self.init(mode: mode, takesDescriptors: takesDescriptors, configuration: configuration) { host in
            try DeviceCatalog.make(type, options: options, host: host)
        }
    }

    /// Serves the device that `make` makes.
    public init(
        mode: UInt32 = 0o600, takesDescriptors: Bool = false,
        configuration: Server.Configuration = Server.Configuration(), make: (Host) throws -> any Device
    ) throws {
        let number = Self.made.add(1, ordering: .relaxed).newValue
        let path = "/tmp/fake-guest-\(getpid())-\(number).sock"
        let host = Host(loop: try EventLoop())
        let function = try Function(make(host), host: host)
        let listener = try UnixListener(path: path, mode: mode, takesDescriptors: takesDescriptors)
        let server = Server(function, listener: listener, configuration: configuration)
        core = try Core(server)
        thread = try Thread(name: "served device") { [core] in core.run() }
        observed = ObservedServer.isWanted ? try ObservedServer(path) : nil
        self.path = observed?.path ?? path
    }

    deinit {
        stop()
    }

    /// Ends the server and waits until its thread has ended. Does nothing the second time.
    public func stop() {
        guard !isStopped.exchange(true, ordering: .relaxed) else { return }
        core.server.stop()
        thread.join()
        observed?.stop()
    }

    /// Runs `body` on the device's thread, between two messages, and waits for what it returns.
    ///
    /// Only while the server runs and waits for messages or events: not while a reply of the client's is awaited.
    public func onThread<Result: Sendable>(_ body: @escaping @Sendable (Function, Server) -> Result) -> Result {
        let answer = Answer<Result>()
        core.perform { function, server in
            let result = body(function, server)
            answer.value.withLock { $0 = result }
        }
        return answer.value.withLock { $0! }
    }

    /// Takes the device down and makes it anew in its place, over the same host, while a client that is there goes on.
    ///
    /// - Parameters: as for ``init(_:options:mode:takesDescriptors:configuration:)``.
    public func remake(_ type: String, options: [String] = []) throws {
        try remake { host in try DeviceCatalog.make(type, options: options, host: host) }
    }

    public func remake(_ make: @escaping @Sendable (Host) throws -> any Device) throws {
        try onThread { _, server in Result { try server.remakeFunction(make) } }.get()
    }

    private final class Answer<Value: Sendable>: Sendable {
        let value = Mutex<Value?>(nil)
    }

    /// What the device's thread owns while it runs.
    ///
    /// Unchecked: `server` and its function are used by the thread that made them before the device's thread starts,
    /// and by that one alone after. `server.stop()` may be called from anywhere.
    private final class Core: @unchecked Sendable {
        let server: Server
        private let arrived: EventFD
        private let jobs = Mutex<[Job]>([])

        private struct Job: Sendable {
            let done: EventFD
            let body: @Sendable (Function, Server) -> Void
        }

        init(_ server: Server) throws {
            self.server = server
            arrived = try EventFD()
        }

        func run() {
            do throws(Errno) {
                let loop = server.function.host.loop
                let token = try loop.watch("jobs", arrived.descriptor, for: .readable) {
                    [unowned self] _ in
                    arrived.consume()
                    runJobs()
                }
                try server.run()
                loop.unwatch(token)
            } catch {
                StandardError.print("The served device ended: \(error).")
            }
            runJobs()
        }

        private func runJobs() {
            let waiting = jobs.withLock { jobs in
                defer { jobs = [] }
                return jobs
            }
            for job in waiting {
                job.body(server.function, server)
                job.done.signal()
            }
        }

        func perform(_ body: @escaping @Sendable (Function, Server) -> Void) {
            guard let done = try? EventFD() else { return }
            jobs.withLock { $0.append(Job(done: done, body: body)) }
            arrived.signal()
            _ = done.wait(within: nil)
        }
    }
}
