import Foundation
import JSON
import Linux
import QMP
import Testing

/// A running QEMU with the lab's guest in it.
final class Machine {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let folder: Scratch
    private var console = ""
    private lazy var monitor = Result { try Self.connect(to: folder.path("qmp")) }

    /// How long a guest may take for anything, in seconds: a boot takes five on a quiet machine.
    private static let patience = 120.0

    /// Starts QEMU.
    ///
    /// - Parameters:
    ///   - devices: `-device` arguments.
    ///   - boot: what to boot; see ``Lab/boot(_:append:)``.
    ///   - machine: its type and memory.
    init(devices: [String], boot: [String], machine: [String] = Machine.sharing("q35")) throws {
        folder = try Scratch()
        process.executableURL = URL(fileURLWithPath: Lab.value("QEMU"))
        var arguments = [
            "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-accel", "tcg", "-cpu", "max",
            "-smp", "1", "-m", "512",
        ]
        for name in ["qmp", "qmp2"] { arguments += ["-qmp", "unix:\(folder.path(name)),server=on,wait=off"] }
        arguments += machine
        for device in devices { arguments += ["-device", device] }
        process.arguments = arguments + boot
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
    }

    /// A machine of that type whose memory a device process can map.
    static func sharing(_ type: String) -> [String] {
        ["-object", "memory-backend-memfd,id=mem,size=512M,share=on", "-machine", "\(type),memory-backend=mem"]
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

    /// The socket of a monitor that this object doesn't use itself.
    var secondMonitor: String { folder.path("qmp2") }

    /// QEMU makes its socket a moment after it was started, and tells nobody.
    private static func connect(to path: String) throws -> QMPClient {
        for _ in 0..<100 {
            if let client = try? QMPClient(connectingTo: path, milliseconds: 60_000) { return client }
            _ = poll(nil, 0, 100)
        }
        throw GuestError("QEMU made no monitor at '\(path)'.")
    }

    /// Has QEMU execute a QMP command.
    @discardableResult
    func execute(_ command: String, _ arguments: String = "{}") throws -> JSON {
        try monitor.get().execute(command, try JSON(parsing: arguments).object ?? [:])
    }

    /// Waits a moment, or less when QEMU has something to say.
    func pause() throws {
        _ = try monitor.get().event(milliseconds: 200) { _ in true }
    }

    /// Waits for a QMP event.
    func awaitEvent(_ name: String) throws {
        guard try monitor.get().event(milliseconds: 60_000, where: { $0.name == name }) != nil else {
            throw GuestError("QEMU tells of no \(name).")
        }
    }
}

/// Why a guest's test can't go on.
struct GuestError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
