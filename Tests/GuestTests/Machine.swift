import Foundation
import JSON
import Lab
import Linux
import Programs
import QMP
import Testing

/// A running QEMU with the lab's guest in it.
final class Machine: Guest {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let folder: Scratch
    let agent: Agent
    private lazy var monitor = Result { try Self.connect(to: folder.path("qmp")) }

    /// Starts QEMU.
    ///
    /// - Parameters:
    ///   - devices: `-device` arguments.
    ///   - boot: what to boot; see ``Lab/boot(_:append:canSleep:)``.
    ///   - machine: its type and memory.
    init(devices: [String], boot: [String], machine: [String] = Machine.sharing("q35")) throws {
        folder = try Scratch()
        agent = Agent(reading: output.fileHandleForReading, writing: input.fileHandleForWriting)
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

    /// Waits until QEMU ends by itself.
    func awaitEnd() {
        process.waitUntilExit()
    }

    // MARK: QEMU

    /// The socket of a monitor that this object doesn't use itself.
    var secondMonitor: String { folder.path("qmp2") }

    /// QEMU makes its socket a moment after it was started, and tells nobody.
    private static func connect(to path: String) throws -> QMPClient {
        for _ in 0..<100 {
            if let client = try? QMPClient(connectingTo: path, patience: .seconds(60)) { return client }
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
        _ = try monitor.get().event(within: .milliseconds(200)) { _ in true }
    }
}
