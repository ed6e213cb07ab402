import Device
import DeviceCatalog
import Glibc
import Linux
import Synchronization
import VFIOUser

/// A device served on a thread of its own, at a socket in a temporary folder, as a device process does it.
public final class ServedDevice: Sendable {
    /// Where clients connect.
    public let path: String
    private let folder: String
    private let parts: Parts
    private let thread: Mutex<Linux.Thread?>

    /// What belongs to the device's thread. It is made there, and used elsewhere only to wake it.
    private final class Parts: @unchecked Sendable {
        let queue = Mutex<[@Sendable (Function) -> Void]>([])
        let work: EventFD
        var server: Server?
        var failure: (any Error)?

        init() throws(Errno) {
            work = try EventFD()
        }
    }

    /// Serves a device of the catalog.
    ///
    /// - Parameters:
    ///   - type: a type's name.
    ///   - options: `KEY=VALUE` words.
    public convenience init(
        _ type: String, options: [String] = [],
        configuration: @escaping @Sendable (inout Server.Configuration) -> Void = { _ in }
    ) throws {
        try self.init(configuration: configuration) { try DeviceCatalog.make(type, options: options, host: $0) }
    }

    /// Serves the device that `make` returns, on the device's thread.
    public init(
        configuration configure: @escaping @Sendable (inout Server.Configuration) -> Void = { _ in },
        make: @escaping @Sendable (Host) throws -> any Device
    ) throws {
        var template = Array("/tmp/mediated-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno.ioError }
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let path = folder + "/socket"
        let parts = try Parts()
        let ready = try EventFD()
        let thread = try Linux.Thread(name: "device") {
            do {
                let loop = try EventLoop()
                let host = Host(loop: loop)
                let function = try Function(try make(host), host: host)
                let token = try loop.watch(parts.work.descriptor, for: .readable) { _ in
                    parts.work.consume()
                    for job in parts.queue.withLock({ jobs in
                        defer { jobs = [] }; return jobs
                    }) { job(function) }
                }
                var configuration = Server.Configuration()
                configuration.patience = 2_000
                configure(&configuration)
                let server = Server(function, listener: try UnixListener(path: path), configuration: configuration)
                parts.server = server
                ready.signal()
                try server.run()
                loop.unwatch(token)
            } catch {
                parts.failure = error
                ready.signal()
            }
        }
        _ = ready.wait(milliseconds: 10_000)
        if let failure = parts.failure {
            thread.join()
            throw failure
        }
        self.path = path
        self.folder = folder
        self.parts = parts
        self.thread = Mutex(thread)
    }

    deinit {
        stop()
    }

    /// Stops serving and waits for the thread. Harmless the second time.
    public func stop() {
        guard let thread = thread.withLock({ $0.take() }) else { return }
        parts.server?.stop()
        thread.join()
        parts.server = nil
        rmdir(folder)
    }

    /// Runs `body` on the device's thread and returns what it returns.
    public func onThread<Value: Sendable>(_ body: @escaping @Sendable (Function) -> Value) throws -> Value {
        let done = try EventFD()
        let box = Mutex<Value?>(nil)
        let boxed = Box(box)
        parts.queue.withLock {
            $0.append { function in
                let value = body(function)
                boxed.set(value)
                done.signal()
            }
        }
        parts.work.signal()
        guard done.wait(milliseconds: 10_000) > 0, let value = boxed.get() else { throw Errno.timedOut }
        return value
    }

    private final class Box<Value: Sendable>: Sendable {
        private let value: Mutex<Value?>

        init(_ value: consuming Mutex<Value?>) { self.value = value }

        func set(_ new: Value) { value.withLock { $0 = new } }
        func get() -> Value? { value.withLock { $0 } }
    }

    /// A typed client.
    public func client(configure: (inout Client.Configuration) -> Void = { _ in }) throws -> Client {
        var configuration = Client.Configuration()
        configuration.patience = 10_000
        configure(&configuration)
        return try Client(path: path, configuration: configuration)
    }

    /// A client that sends any bytes.
    public func rawClient() throws -> RawClient {
        try RawClient(path: path, server: self)
    }
}
