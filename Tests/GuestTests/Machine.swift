import Foundation
import Lab
import Linux
import Testing

/// A running QEMU with the lab's guest in it.
final class Machine {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let folder: Scratch
    private var console = ""
    private lazy var monitor = Result { try Monitor(path: folder.path("qmp")) }

    /// How long a guest may take for anything, in seconds: a boot takes five on a quiet machine.
    private static let patience = 120.0

    /// Starts QEMU.
    ///
    /// - Parameters:
    ///   - devices: `-device` arguments.
    ///   - boot: what to boot; see ``Lab/boot(_:append:)``.
    init(devices: [String], boot: [String], extra: [String] = []) throws {
        folder = try Scratch()
        process.executableURL = URL(fileURLWithPath: Lab.value("QEMU"))
        process.arguments =
            [
                "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-accel", "tcg", "-cpu",
                "max", "-smp", "1", "-m", "512", "-object", "memory-backend-memfd,id=mem,size=512M,share=on",
                "-machine", "q35,memory-backend=mem", "-qmp", "unix:\(folder.path("qmp")),server=on,wait=off",
            ] + extra + devices.flatMap { ["-device", $0] } + boot
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
    }

    deinit {
        end()
    }

    /// Kills QEMU, as a power failure of its host would.
    func end() {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    // MARK: The guest

    /// Waits until the guest's agent takes commands: after a boot, and after each reset.
    func awaitReady() throws {
        _ = try waitFor("::ready::\n")
    }

    /// What a command came to.
    struct Outcome {
        var status: Int
        var output: String
    }

    /// Runs a shell command in the guest.
    @discardableResult
    func run(_ command: String) throws -> Outcome {
        try start(command)
        return try finish()
    }

    /// Begins a command that the host has a part in.
    func start(_ command: String) throws {
        try input.fileHandleForWriting.write(contentsOf: Data((command + "\n").utf8))
    }

    /// Waits for the end of the command that was begun.
    func finish() throws -> Outcome {
        let output = try waitFor("\n::exit ")
        let status = try waitFor("::\n")
        return Outcome(status: Int(status) ?? -1, output: output.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// Waits until the console shows `mark`.
    ///
    /// - Returns: what came before it.
    private func waitFor(_ mark: String) throws -> String {
        let deadline = Date(timeIntervalSinceNow: Self.patience)
        while true {
            if let range = console.range(of: mark) {
                defer { console = String(console[range.upperBound...]) }
                return String(console[..<range.lowerBound])
            }
            let left = deadline.timeIntervalSinceNow
            var entry = pollfd(fd: output.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
            guard left > 0, poll(&entry, 1, Int32(left * 1000)) > 0 else {
                throw GuestError("The guest did not say '\(mark)'. Its console: \(console.suffix(2000))")
            }
            let data = output.fileHandleForReading.availableData
            guard !data.isEmpty else { throw GuestError("QEMU ended. The console: \(console.suffix(2000))") }
            // The agent speaks ASCII; firmware may not.
            console += String(decoding: data, as: UTF8.self).replacingOccurrences(of: "\r\n", with: "\n")
        }
    }

    // MARK: QEMU

    /// Has QEMU execute a QMP command.
    func execute(_ command: String, _ arguments: String = "{}") throws {
        try monitor.get().execute(command, arguments)
    }

    /// Waits a moment, or less when QEMU has something to say.
    func pause() throws {
        _ = try monitor.get().isSpeaking()
    }

    /// Waits for a QMP event.
    func awaitEvent(_ name: String) throws {
        try monitor.get().awaitEvent(name)
    }
}

/// Why a guest's test can't go on.
struct GuestError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// QEMU's monitor, as far as the tests need it: one JSON object a line.
private final class Monitor {
    private let socket: UnixSocket
    private let buffer: PageBuffer
    private var text = ""

    init(path: String) throws {
        socket = try Self.connect(to: path)
        buffer = try PageBuffer(count: 1 << 16)
        _ = try line { $0.contains("\"QMP\"") }
        try execute("qmp_capabilities", "{}")
    }

    /// QEMU makes its socket a moment after it was started, and tells nobody.
    private static func connect(to path: String) throws -> UnixSocket {
        for _ in 0..<100 {
            if let socket = try? UnixSocket(connectingTo: path) { return socket }
            _ = poll(nil, 0, 100)
        }
        throw GuestError("QEMU made no monitor at '\(path)'.")
    }

    func execute(_ command: String, _ arguments: String) throws {
        let request = "{\"execute\":\"\(command)\",\"arguments\":\(arguments)}\n"
        try socket.send(Array(request.utf8).span.bytes)
        let reply = try line { $0.contains("\"return\"") || $0.contains("\"error\"") }
        guard reply.contains("\"return\"") else { throw GuestError("QEMU refused \(command): \(reply)") }
    }

    func awaitEvent(_ name: String) throws {
        _ = try line { $0.contains("\"event\": \"\(name)\"") }
    }

    func isSpeaking() throws -> Bool {
        try socket.waitReadable(milliseconds: 200)
    }

    private func line(_ isWanted: (Substring) -> Bool) throws -> String {
        while true {
            while let end = text.firstIndex(where: \.isNewline) {
                let line = text[..<end]
                text = String(text[text.index(after: end)...])
                if isWanted(line) { return String(line) }
            }
            guard try socket.waitReadable(milliseconds: 60_000) else { throw GuestError("QEMU's monitor is silent.") }
            var descriptors = ReceivedDescriptors()
            guard
                case .bytes(let count, _, _) = try socket.receive(
                    into: buffer, from: 0, descriptors: &descriptors, blocking: false)
            else { throw GuestError("QEMU's monitor is gone.") }
            text += buffer.bytes(0..<count).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        }
    }
}
