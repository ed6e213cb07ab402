import Control
import Device
import DeviceCatalog
import Glibc
import JSON
import Linux
import VFIOUser

/// One virtual device in a process of its own: the device, its function, the vfio-user server, the control socket.
@main
final class DeviceProcess: ControlDelegate {
    /// `sysexits.h`
    private enum Exit {
        static let usage: Int32 = 64
        static let badState: Int32 = 65
        static let noInput: Int32 = 66
        static let software: Int32 = 70
        static let cannotCreate: Int32 = 73
    }

    static func main() {
        // Whoever reads what is said here may leave; the guest keeps its device.
        signal(SIGPIPE, SIG_IGN)
        let arguments: Arguments
        do throws(Arguments.Problem) {
            arguments = try Arguments(CommandLine.arguments.dropFirst())
        } catch {
            end(Exit.usage, "\(error.description)\n\(Arguments.usage)")
        }
        do {
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

    let function: Function
    let events: EventLog
    let pictures = PictureReader()
    private let arguments: Arguments
    let server: Server
    private let started = SystemClock.nanoseconds
    private var control: ControlServer?

    private init(_ arguments: Arguments) throws {
        let loop = try EventLoop()
        let host = Host(loop: loop)
        let device: any Device
        do {
            device = try DeviceCatalog.make(arguments.type, options: arguments.options, host: host)
        } catch let error as OptionError {
            throw Failure(status: Exit.usage, description: error.description)
        }
        function = try Function(device, host: host)
        if let path = arguments.restore { try Self.restore(function, from: path) }
        let listener = try Self.listen(at: arguments.socket, mode: arguments.mode)
        var configuration = Server.Configuration()
        configuration.isPolling = arguments.isPolling
        configuration.allowedPeers = arguments.allowedPeers
        let events = EventLog { line in Self.say(arguments.name.map { "\($0): \(line)" } ?? line) }
        configuration.onEvent = { events.append(ControlEvent.Kind($0), $0.description) }
        self.events = events
        server = Server(function, listener: listener, configuration: configuration)
        self.arguments = arguments
    }

    private static func listen(at path: String, mode: UInt32) throws(Failure) -> UnixListener {
        do throws(Errno) {
            return try UnixListener(path: path, mode: mode)
        } catch {
            throw Failure(status: Exit.cannotCreate, description: reason(for: error, path))
        }
    }

    private static func reason(for error: Errno, _ path: String) -> String {
        switch error {
        case .addressInUse: "Another process serves '\(path)'; stop it or choose another path."
        case .fileExists: "'\(path)' exists and is no socket; remove it or choose another path."
        case .fileNameTooLong: "'\(path)' is too long for a socket: 107 bytes at most."
        case .noSuchFileOrDirectory: "The folder of '\(path)' does not exist; make it first."
        default: "The socket '\(path)' can't be made: \(error)."
        }
    }

    private static func restore(_ function: Function, from path: String) throws(Failure) {
        do {
            let writer = StateWriter(function)
            let file = try Descriptor(reading: path)
            while true {
                let piece = try file.readBytes(upTo: 1 << 20)
                if piece.isEmpty { break }
                try writer.write(piece.span.bytes)
            }
            try writer.finish()
        } catch let error as StateError {
            throw Failure(status: Exit.badState, description: "'\(path)' can't be restored. \(error)")
        } catch {
            throw Failure(status: Exit.noInput, description: "'\(path)' can't be read: \(error).")
        }
    }

    private func run() throws {
        let loop = function.host.loop
        let path = arguments.control ?? ControlClient.path(besides: arguments.socket)
        do throws(Errno) {
            control = try ControlServer(path: path, mode: arguments.mode, loop: loop, delegate: self)
        } catch {
            throw Failure(status: Exit.cannotCreate, description: Self.reason(for: error, path))
        }
        // TERM and INT end the process as `stop` does, between two messages.
        let signals = try SignalFD([SIGTERM, SIGINT])
        let token = try loop.watch(signals.descriptor, for: .readable) { [unowned self] _ in
            signals.consume()
            stop()
        }
        defer { loop.unwatch(token) }
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
