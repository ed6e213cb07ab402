import Foundation

/// A program that runs to its end.
enum Program {
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

    static func run(_ program: URL, _ arguments: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
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

    /// Runs `mediated`.
    static func mediated(_ arguments: String...) throws -> Outcome {
        try run(folder.appendingPathComponent("mediated"), arguments)
    }
}
