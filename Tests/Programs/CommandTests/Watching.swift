import Foundation
import Glibc
import Programs

/// A command that goes on until it is interrupted, or has seen enough.
final class Watching {
    private let process = Process()
    private let output = Pipe()
    private let errors = Pipe()
    private var said = ""

    /// Returns when it has said these words on standard error.
    init(_ arguments: [String], until words: String) throws {
        process.executableURL = try Program.folder.appendingPathComponent("mediated")
        process.arguments = arguments
        (process.standardOutput, process.standardError) = (output, errors)
        try process.run()
        said = try errors.read(until: words)
    }

    deinit {
        if process.isRunning { process.terminate() }
    }

    var isRunning: Bool { process.isRunning }

    func interrupt() { process.interrupt() }
    func kill() { _ = Glibc.kill(process.processIdentifier, SIGKILL) }

    /// Waits for its end.
    ///
    /// - Returns: its status, and what it has said.
    func end() throws -> (status: Int32, output: String, errors: String) {
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        said += String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text, said)
    }
}
