import Control
import Device
import DeviceCatalog
import Glibc
import JSON
import Linux
import VFIOUserServer

/// One virtual device in a process of its own: the device, its function, the vfio-user server, the control socket.
@main
final class DeviceProcess: ControlDelegate {
    /// `sysexits.h`
    private enum Exit {
        static let usage: Int32 = 64
        static let badState: Int32 = 65
        static let noInput: Int32 = 66
        static let software: Int32 = 70
        static let system: Int32 = 71
        static let cannotCreate: Int32 = 73
        static let noPermission: Int32 = 77
    }

    static func main() {
        // Whoever reads what is said here may leave; the guest keeps its device.
        signal(SIGPIPE, SIG_IGN)
        if let status = CheckpointWriter.run(CommandLine.arguments) { exit(status) }
        let arguments: Arguments
        do throws(Arguments.Problem) {
            arguments = try Arguments(CommandLine.arguments.dropFirst())
        } catch {
            say(error.description)
            for line in Arguments.usage.split(separator: "\n") { StandardError.print(String(line)) }
            exit(Exit.usage)
        }
        do {
            guard try mayStart(arguments) else { return }
            try giveUpRoot(arguments)
            let process = try DeviceProcess(arguments)
            try process.run()
        } catch let failure as Failure {
            end(failure.status, failure.description)
        } catch {
            end(Exit.software, "The device stopped: \(error).")
        }
    }

    private static func end(_ status: Int32, _ message: String) -> Never {
        say(message)
        exit(status)
    }

    private static func say(_ message: String) {
        StandardError.print("mediated-device: \(message)")
    }

    /// Why the process can't do what it is for, and the status it ends with.
    private struct Failure: Error {
        let status: Int32
        let description: String
    }

    var function: Function { server.function }
    let events: EventLog
    let pictures = PictureReader()
    private let arguments: Arguments
    let server: Server
    private let started = SystemClock.nanoseconds
    private var control: ControlServer?
    /// Says a line in the log, with the device's name.
    private let say: (String) -> Void

    // MARK: Before there is a device

    /// Waits until whoever started this process has noted that it did.
    ///
    /// - Returns: false when they are gone and have not: nobody knows of this process, or ever will.
    private static func mayStart(_ arguments: Arguments) throws(Failure) -> Bool {
        guard let raw = arguments.startDescriptor else { return true }
        do throws(Errno) {
            return try Descriptor(owning: raw).readBytes(upTo: 1).count == 1
        } catch {
            throw unusable("--start-fd", raw, error)
        }
    }

    private static func giveUpRoot(_ arguments: Arguments) throws(Failure) {
        guard let (user, group) = arguments.identity else { return }
        do throws(Errno) {
            try Sandbox.become(user: user, group: group)
        } catch {
            throw Failure(
                status: Exit.noPermission, description: "Can't become user \(user) of group \(group): \(error).")
        }
    }

    private static func unusable(_ option: String, _ descriptor: Int32, _ error: Errno) -> Failure {
        Failure(status: Exit.usage, description: "\(option) is \(descriptor), which can't be used: \(error).")
    }

    // MARK: The device and its sockets

    private init(_ arguments: Arguments) throws {
        // Before all that asks for it: once the process is confined nobody can.
        try ResourceLimit.descriptorsOfDevice.apply()
        let loop = try EventLoop()
        let host = Host(loop: loop)
        let device: any Device
        do {
            device = try DeviceCatalog.make(arguments.type, options: arguments.options, host: host)
        } catch let error as OptionError {
            throw Failure(status: Exit.usage, description: error.description)
        } catch let error as UnavailableError {
            throw Failure(status: Exit.cannotCreate, description: error.description)
        }
        let function = try Function(device, host: host)
        try Self.restore(function, arguments)
        let listener = try Self.listen(
            at: arguments.socket, mode: arguments.mode, or: arguments.socketDescriptor, "--socket-fd")
        var configuration = Server.Configuration()
        configuration.isPolling = arguments.isPolling
        configuration.allowedPeers = arguments.allowedPeers
        let say = { line in Self.say(arguments.name.map { "\($0): \(line)" } ?? line) }
        let events = EventLog(write: say)
        configuration.onEvent = { events.append(ControlEvent.Kind($0), $0.description) }
        host.report = { events.append(.device, $0) }
        self.events = events
        self.say = say
        server = Server(function, listener: listener, configuration: configuration)
        self.arguments = arguments
    }

    /// A socket at `path`: the one that was inherited, or else a new one.
    private static func listen(
        at path: String, mode: UInt32, or inherited: Int32?, _ option: String
    ) throws(Failure) -> UnixListener {
        do throws(Errno) {
            if let inherited { return try UnixListener(adopting: Descriptor(owning: inherited), path: path) }
            return try UnixListener(path: path, mode: mode)
        } catch {
            if let inherited { throw unusable(option, inherited, error) }
            throw Failure(status: Exit.cannotCreate, description: UnixListener.explanation(of: error, at: path))
        }
    }

    /// Goes on from a saved state, if there is one.
    private static func restore(_ function: Function, _ arguments: Arguments) throws(Failure) {
        if let path = arguments.restore {
            try restore(function, from: "'\(path)'") { () throws(Errno) in try Descriptor(reading: path) }
        } else if let raw = arguments.stateDescriptor {
            try restore(function, from: "The state in descriptor \(raw)") { Descriptor(owning: raw) }
        }
    }

    private static func restore(
        _ function: Function, from name: String, open: () throws(Errno) -> Descriptor
    ) throws(Failure) {
        do {
            let writer = StateWriter(function)
            let file = try open()
            while true {
                let piece = try file.readBytes(upTo: 1 << 20)
                if piece.isEmpty { break }
                try writer.write(piece.span.bytes)
            }
            try writer.finish()
        } catch let error as StateError {
            throw Failure(status: Exit.badState, description: "\(name) can't be restored. \(error)")
        } catch {
            throw Failure(status: Exit.noInput, description: "\(name) can't be read: \(error).")
        }
    }

    /// Leaves the process no more than it needs from here on. Programs that the device has started are not concerned.
    private func confine() throws {
        guard arguments.isSandboxed else {
            if let memory = arguments.memory { try ResourceLimit(.data, memory).apply() }
            return
        }
        let loop = function.host.loop
        let limits = ResourceLimit.ofDevice(memory: arguments.memory ?? ResourceLimit.defaultMemory)
        do throws(Sandbox.Failure) {
            let landlock = try Sandbox.confine(limits: limits) { () throws(Errno) in try loop.startThreads() }
            let second =
                landlock.map { "by Landlock, version \($0)" } ?? "not by Landlock, which this kernel doesn't have"
            say("Confined by a system call filter, and \(second).")
        } catch {
            throw Failure(status: Exit.system, description: "The process can't be confined. \(error)")
        }
    }

    private func run() throws {
        let loop = function.host.loop
        let path = arguments.control ?? ControlClient.path(besides: arguments.socket)
        let listener = try Self.listen(
            at: path, mode: arguments.mode, or: arguments.controlDescriptor, "--control-fd")
        control = try ControlServer(listener, loop: loop, delegate: self)
        // TERM and INT end the process as `stop` does, between two messages.
        let signals = try SignalFD([SIGTERM, SIGINT])
        let token = try loop.watch("signals", signals.descriptor, for: .readable) { [unowned self] _ in
            signals.consume()
            stop()
        }
        defer { loop.unwatch(token) }
        try confine()
        events.append(.started, "Serving '\(arguments.type)' at \(arguments.socket).")
        try server.run()
        control = nil
    }

    // MARK: ControlDelegate

    var info: ControlInfo {
        ControlInfo(
            name: arguments.name, type: arguments.type, options: arguments.options, process: getpid(),
            socket: arguments.socket, clientConnected: server.hasClient, uptimeSeconds: uptimeSeconds)
    }

    var uptimeSeconds: Double { Double(SystemClock.nanoseconds &- started) / 1e9 }

    func stop() {
        server.stop()
    }
}
