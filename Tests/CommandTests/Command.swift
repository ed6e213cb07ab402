import Foundation
import Testing

/// The built programs, as a user runs them.
enum Command {
    /// What a run came to.
    struct Outcome {
        var status: Int32
        var output: String
        var errors: String
    }

    /// Where the build has put the programs: beside the tests.
    static var folder: URL {
        get throws {
            URL(fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
                .deletingLastPathComponent()
        }
    }

    /// Runs `mediated` with `arguments` to its end.
    static func run(_ arguments: String..., at program: URL? = nil, in directory: URL? = nil) throws -> Outcome {
        try run(arguments, at: program, in: directory)
    }

    static func run(_ arguments: [String], at program: URL? = nil, in directory: URL? = nil) throws -> Outcome {
        let process = Process()
        process.executableURL = try program ?? folder.appendingPathComponent("mediated")
        process.arguments = arguments
        process.currentDirectoryURL = directory
        let (output, errors) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, errors)
        try process.run()
        // Errors are short: they fit into their pipe while the output is read.
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let complaints = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Outcome(
            status: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
            errors: String(decoding: complaints, as: UTF8.self))
    }
}

/// A folder of a test's own.
final class Scratch {
    let url: URL

    init() throws {
        // Short, for a socket's path has at most 107 bytes.
        url = URL(fileURLWithPath: "/tmp/mediated-\(getpid())-\(UInt32.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }

    func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: path(name), atomically: false, encoding: .utf8)
        return path(name)
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
        process.executableURL = try Command.folder.appendingPathComponent("mediated")
        process.arguments = ["run", type, "--socket", socket] + arguments
        process.standardError = errors
        try process.run()
        var text = ""
        while !text.contains("Serving") {
            let more = errors.fileHandleForReading.availableData
            try #require(!more.isEmpty, "The device process ended: \(text)")
            text += String(decoding: more, as: UTF8.self)
        }
    }

    deinit {
        if process.isRunning { process.terminate() }
    }

    func terminate() { process.terminate() }

    /// Nobody reads what the process says any more.
    func stopListening() throws { try errors.fileHandleForReading.close() }

    /// Waits for the process's end, and gives its status.
    func status() -> Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }
}
