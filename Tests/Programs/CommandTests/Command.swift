import Foundation
import Glibc
import Programs
import Testing

/// The built programs, as a user runs them.
enum Command {
    /// Runs `mediated`, or another program, with `arguments` to its end.
    static func run(
        _ arguments: String..., at program: URL? = nil, in directory: URL? = nil
    ) throws -> Program.Outcome {
        try run(arguments, at: program, in: directory)
    }

    static func run(
        _ arguments: [String], at program: URL? = nil, in directory: URL? = nil
    ) throws -> Program.Outcome {
        try Program.run(try program ?? Program.folder.appendingPathComponent("mediated"), arguments, in: directory)
    }
}

/// A device process that `mediated run` has become.
final class RunningDevice {
    let socket: String
    private let process = Process()
    private let errors = Pipe()

    /// Returns when the sockets are there.
    init(_ type: String, _ arguments: String..., in scratch: Scratch, socket name: String = "socket") throws {
        socket = scratch.path(name)
        process.executableURL = try Program.folder.appendingPathComponent("mediated")
        process.arguments = ["run", type, "--socket", socket] + arguments
        process.standardError = errors
        try process.run()
        try errors.read(until: "Serving")
    }

    deinit {
        if process.isRunning { process.terminate() }
    }

    func terminate() { process.terminate() }
    func kill() { _ = Glibc.kill(process.processIdentifier, SIGKILL) }

    var pid: Int32 { process.processIdentifier }

    /// What is said on standard error until these words, which are waited for.
    func said(until words: String) throws -> String { try errors.read(until: words) }

    /// Nobody reads what the process says any more.
    func stopListening() throws { try errors.fileHandleForReading.close() }

    /// Waits for the process's end, and gives its status.
    func status() -> Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }
}
