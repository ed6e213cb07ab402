import Foundation
import Glibc
import Linux
import Programs

/// A command that goes on until it is interrupted, or has seen enough.
final class Watching {
    private let process = Process()
    private let output = Pipe()
    private let errors = Pipe()
    private var said = ""

    /// Returns when it has said these words on standard error.
    ///
    /// - Parameter descriptors: how many it may have, unless as many as this process.
    init(_ arguments: [String], descriptors: Int? = nil, until words: String) throws {
        let program = try Program.folder.appendingPathComponent("mediated")
        if let descriptors {
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", "ulimit -n \(descriptors) && exec \"$0\" \"$@\"", program.path] + arguments
        } else {
            process.executableURL = program
            process.arguments = arguments
        }
        (process.standardOutput, process.standardError) = (output, errors)
        try process.run()
        said = try errors.read(until: words)
    }

    deinit {
        if process.isRunning { process.terminate() }
    }

    var isRunning: Bool { process.isRunning }

    func interrupt() { send(SIGINT) }
    func kill() { send(SIGKILL) }
    func send(_ signal: Int32) { _ = Glibc.kill(process.processIdentifier, signal) }

    /// Whether it ends, as it should soon, though nobody takes what it prints.
    func endsUnread() throws -> Bool {
        // One that is gone already has ended.
        guard let handle = try? ProcessHandle(process.processIdentifier) else { return true }
        return try waitReadable([handle.descriptor.raw], within: .seconds(60)).contains(true)
    }

    /// Waits until it has said these words on standard error.
    func wait(for words: String) throws { said += try errors.read(until: words) }

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
