import ArgumentParser
import Control
import Device
import DeviceCatalog
import Glibc
import Linux
import XenSlot

/// `mediated run`: checks the command line, and becomes the small program that serves the device.
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve a device on a vfio-user socket, or in a slot of a Xen domain, until it is stopped.",
        discussion: """
            'mediated types' lists the types and their options. SIGTERM and SIGINT end the process in order.

            When the process dies, its last events are said on standard error, and all that its recorders have kept is left \
            beside each control socket (CONTROL.events): 'mediated trace --recorded SOCKET' shows it until the next start.

            A device that belongs to the first, such as a display's serial line, can share its process: behind '--' comes its \
            type, with a socket and options of its own, and so on.

            A domain has the device from the start of the process until the domain ends. The guest finds it when it \
            boots: start it while the domain is paused.
            """)

    @Argument(help: "The device's type.", completion: .list(DeviceCatalog.types.map(\.name)))
    var type: String

    @Option(help: "Where to listen for the client, such as QEMU.", completion: .file())
    var socket: String?

    @OptionGroup var domain: DomainOptions

    @Option(
        name: [.short, .long], help: ArgumentHelp("An option of the device; may be repeated.", valueName: "key=value"))
    var option: [String] = []

    @Option(
        help: "Where to listen for 'mediated screenshot' and the like; needed with --xen. [default: SOCKET.control]",
        completion: .file())
    var control: String?

    @Option(
        help: ArgumentHelp("Go on from a state that 'mediated save' has written.", valueName: "file"),
        completion: .file())
    var state: String?

    @Option(help: ArgumentHelp("The permissions of all sockets, in octal. [default: 0600]", valueName: "octal"))
    var mode: String?

    @Flag(help: "Never sleep while a client is connected: faster answers for a whole processor.")
    var poll = false

    @Flag(help: "Don't confine the process: for debuggers, profilers, and kernels without system call filters.")
    var noSandbox = false

    @Flag(help: "Don't keep the last events, which 'mediated trace --recorded' shows: accesses are some 0.1 µs faster.")
    var noRecorder = false

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp(
            "A device that shares the process: '-- TYPE --socket PATH', and its options.", valueName: "device"))
    var further: [String] = []

    func run() throws {
        var arguments = DeviceArguments()
        var command = self
        while true {
            arguments.functions.append(try command.function())
            guard !command.further.isEmpty else { break }
            command = try Run.parse(command.further)
            guard command.mode == nil, !command.poll, !command.noSandbox, !command.noRecorder else {
                throw Failure(
                    .usage,
                    "--mode, --poll, --no-sandbox and --no-recorder are for the whole process: give them before '--'.")
            }
        }
        if let mode {
            guard let bits = DeviceArguments.mode(octal: mode) else {
                throw Failure(.usage, "The mode is '\(mode)' but must be octal, from 0 to 0777, such as 0660.")
            }
            arguments.mode = bits
        }
        arguments.isPolling = poll
        arguments.isSandboxed = !noSandbox
        arguments.isRecording = !noRecorder
        do throws(DeviceArguments.Problem) { try arguments.check() } catch {
            throw Failure(.usage, error.description)
        }
        for path in arguments.functions.flatMap(\.socketPaths) { try checkSocket(path) }
        KeepEvents.start(for: arguments)
        try become("mediated-device", arguments.words)
    }

    /// The device of this command, whatever stands behind `--`.
    private func function() throws -> DeviceArguments.Function {
        do throws(OptionError) {
            try DeviceCatalog.check(type, options: option)
        } catch {
            throw Failure(.usage, error.description)
        }
        if let state {
            do throws(Errno) {
                _ = try Descriptor(reading: state)
            } catch {
                throw Failure(error, cannot: "read the state", state, otherwise: .noInput)
            }
        }
        var function = try placed()
        function.options = option
        function.state = state.map { .file($0) }
        return function
    }

    /// Where it is to be, and its control socket.
    private func placed() throws(Failure) -> DeviceArguments.Function {
        switch (socket, domain.xen) {
        case (let socket?, nil):
            var function = DeviceArguments.Function(type, socket: socket)
            if let control { function.control = control }
            return function
        case (nil, let xen?):
            guard let control else {
                throw Failure(
                    .usage, "With --xen there is no socket to have the control socket beside: give --control.")
            }
            let slot = DomainSlot(
                domain: try Domain(xen).number, address: domain.slot ?? DomainSlot.addresses[0])
            return DeviceArguments.Function(type, in: slot, control: control)
        default: throw Failure(.usage, "Say where the device is to be: --socket PATH, or --xen DOMAIN.")
        }
    }

    // MARK: Checks

    /// Whether a socket can be made at `path`, or else why not.
    private func checkSocket(_ path: String) throws {
        guard !path.isEmpty else { throw Failure(.usage, "The socket's path is empty.") }
        guard path.utf8.count <= 107 else {
            throw Failure(.usage, "'\(path)' is \(path.utf8.count) bytes long, but a socket's path has at most 107.")
        }
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        var status = stat()
        guard stat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw Failure(.cannotCreate, "Can't create the socket '\(path)': there is no folder '\(folder)'.")
        }
        guard access(folder, W_OK | X_OK) == 0 else {
            throw Failure(.noPermission, "Can't create the socket '\(path)': you may not write to '\(folder)'.")
        }
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw Failure(.cannotCreate, "Can't create the socket '\(path)': something that is no socket is there.")
        }
        guard (try? UnixSocket(connectingTo: path, within: .seconds(1))) == nil else {
            throw Failure(.unavailable, "Another process listens at '\(path)'; stop it or choose another path.")
        }
    }
}
