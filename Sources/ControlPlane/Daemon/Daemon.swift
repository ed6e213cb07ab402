import DaemonAPI
import Database
import Glibc
import Linux
import Logging
import Mediation
import NIOPosix
import Profiles
import Supervision

/// The control plane's process: takes up what an earlier one has left, and serves until it is told to end. The device
/// processes that it has started go on without it.
public struct Daemon: Sendable {
    public struct Configuration: Sendable {
        public var directories: Directories
        /// The group whose members may tell the daemon what to do, besides root and the daemon's own user. One that
        /// doesn't exist lets nobody in.
        public var group = "mediated"
        /// What a parent has to share out unless its driver or the administrator's file says it, in bytes.
        public var videoMemory: Int
        /// The path of mediated-device.
        public var program: String
        /// Whether mediated-renderer is there too.
        public var hasRenderer: Bool
        /// Whether the last events of each vGPU are kept.
        public var hasRecorders = true

        public init(directories: Directories, videoMemory: Int, program: String, hasRenderer: Bool) {
            self.directories = directories
            self.videoMemory = videoMemory
            self.program = program
            self.hasRenderer = hasRenderer
        }
    }

    private let configuration: Configuration
    private let logger: Logger
    private var directories: Directories { configuration.directories }

    public init(_ configuration: Configuration) {
        self.configuration = configuration
        var logger = Logger(label: "mediated-daemon") { _ in StandardErrorLog() }
        logger.logLevel = .info
        self.logger = logger
    }

    /// Serves until SIGTERM or SIGINT comes.
    ///
    /// - Throws: ``DaemonError`` when it can't begin.
    public func run() throws(DaemonError) {
        // Before any thread is there, so that none of them gets these signals.
        let signals = try step("block signals") { () throws(Errno) in try SignalFD([SIGTERM, SIGINT]) }
        signal(SIGPIPE, SIG_IGN)
        let catalogue = try catalogue()
        try step("make the folders below '\(directories.runtime)'") { () throws(Errno) in try directories.make() }
        let store = try database()
        var settings = Manager.Configuration(program: configuration.program)
        settings.controlGroup = controlGroup
        settings.hasRecorders = configuration.hasRecorders
        settings.log = { [logger] sentence in logger.warning("\(sentence)") }
        let manager = try step("start the threads that wait for others") { [settings] () throws(Errno) in
            try Manager(catalogue: catalogue, directories: directories, store: store, configuration: settings)
        }
        logger.info("\(Self.description(of: manager.controllers))")
        let listener = try DaemonListener(directories: directories, group: configuration.group)

        try begin(manager, until: signals)
        let statistics = DaemonStatistics()
        let routes = Routes(manager: manager, directories: directories, statistics: statistics)
        let server = DaemonServer(
            router: routes.router, statistics: statistics, logger: logger,
            onRefusal: { peer in
                Task { await manager.noteRefusal(user: peer.uid, process: peer.pid) }
            })
        let checkpoints = Task { await manager.keepCheckpoints() }
        defer { checkpoints.cancel() }
        logger.info("Serving at \(listener.path).")
        ServiceManager.notify("READY=1")
        while true {
            let ready = try step("wait for connections") { () throws(Errno) in
                try waitReadable([listener.descriptor, signals.descriptor.raw], within: nil)
            }
            guard ready.last != true else { break }
            server.acceptConnections(of: listener)
        }
        ServiceManager.notify("STOPPING=1")
        logger.info("Ended by a signal; the device processes go on.")
    }

    private var controlGroup: ControlGroup? {
        do throws(Errno) { return try ControlGroup.ofThisProcess() } catch {
            logger.warning("The control group of the daemon can't be found out: \(error)")
            return nil
        }
    }

    private static func description(of controllers: Set<String>?) -> Logger.Message {
        switch controllers?.sorted() {
        case nil:
            "No control group is delegated to the daemon: vGPUs have nice values for weights, and no bound on shared memory."
        case []: "Each vGPU has a control group, with no controller."
        case let names?: "Each vGPU has a control group, with \(names.joined(separator: ", "))."
        }
    }

    /// Has the manager take up its work, and waits for that.
    private func begin(_ manager: Manager, until signals: SignalFD) throws(DaemonError) {
        let done = try step("make an eventfd") { () throws(Errno) in try EventFD() }
        let outcome = Outcome()
        Task {
            do throws(MediationError) { try await manager.begin() } catch { outcome.error.withLock { $0 = error } }
            done.signal()
        }
        let ready = try step("wait for the beginning") { () throws(Errno) in
            try waitReadable([done.descriptor.raw, signals.descriptor.raw], within: nil)
        }
        guard ready.first == true else { throw DaemonError("It was told to end before it had begun.") }
        if let error = outcome.error.withLock({ $0 }) { throw DaemonError(error.description) }
    }

    private final class Outcome: Sendable {
        let error = Locked<MediationError?>(nil)
    }

    // MARK: What it begins with

    private func catalogue() throws(DaemonError) -> Catalogue {
        var catalogue = try step("read the devices' options") { () throws in
            Catalogue(
                parents: Parent.discover(
                    videoMemory: configuration.videoMemory, hasRenderer: configuration.hasRenderer),
                types: try Catalogue.builtInTypes())
        }
        do throws(ProfileError) {
            if let profiles = try Profiles(readingFile: directories.types) {
                catalogue.types += profiles.types
                for parent in profiles.parents { catalogue.add(parent) }
            }
        } catch {
            throw DaemonError(error.description)
        }
        return catalogue
    }

    private func database() throws(DaemonError) -> Database {
        do throws(DatabaseError) { return try Database(path: directories.database) } catch {
            throw DaemonError(error.description)
        }
    }
}

/// Why the daemon can't begin, or go on.
public struct DaemonError: Error, CustomStringConvertible {
    /// A sentence.
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}

func step<Value: ~Copyable, Failure: Error>(
    _ name: String, _ body: () throws(Failure) -> Value
) throws(DaemonError) -> Value {
    do throws(Failure) { return try body() } catch { throw DaemonError("Can't \(name): \(error)") }
}
