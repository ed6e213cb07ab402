import Foundation
import Glibc
import Linux
import Programs

/// `mediated exec`, with a runtime folder of the test's own, as a user types it.
struct ProgramRun {
    let scratch: Scratch
    /// XDG_RUNTIME_DIR
    let folder: String

    init(in scratch: Scratch) throws {
        self.scratch = scratch
        folder = scratch.path("run")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    static var glProgram: String { get throws { try Program.folder.appendingPathComponent("GLProgram").path } }

    private func words(_ arguments: [String]) throws -> [String] {
        ["XDG_RUNTIME_DIR=\(folder)", try Program.folder.appendingPathComponent("mediated").path] + arguments
    }

    private static let env = URL(fileURLWithPath: "/usr/bin/env")

    /// Runs `mediated` to its end.
    func mediated(_ arguments: String...) throws -> Program.Outcome {
        try Program.run(Self.env, words(arguments))
    }

    /// Runs a program on a vGPU to its end.
    func run(_ socket: String, _ program: String...) throws -> Program.Outcome {
        try Program.run(Self.env, words(["exec", socket, "--"] + program))
    }

    private static let unshare = URL(fileURLWithPath: "/usr/bin/unshare")

    /// Whether this user may have mounts of its own.
    static let hasNamespaces = (try? Program.run(unshare, ["-rm", "true"]))?.status == 0

    /// The same where a folder is in the place of older Mesas' socket, in a view of `/tmp` that nobody else has.
    func runWithTakenPath(_ socket: String, _ program: String...) throws -> Program.Outcome {
        let view = scratch.path("view")
        // The test's own files stay where they are.
        let script = """
            mkdir -p "$0/.virgl_test" "$0/${1#/tmp/}" && mount --rbind "$1" "$0/${1#/tmp/}" \\
            && mount --rbind "$0" /tmp && shift && exec env "$@"
            """
        let shell = ["-rm", "sh", "-c", script, view, scratch.url.path]
        return try Program.run(Self.unshare, shell + words(["exec", socket, "--"] + program))
    }

    /// Draws and computes with OpenGL on a vGPU, to the end.
    func draw(_ socket: String, _ arguments: String...) throws -> Program.Outcome {
        try Program.run(Self.env, words(["exec", socket, "--", Self.glProgram] + arguments))
    }

    /// A program that goes on.
    final class Endless {
        private let process = Process()
        private let output = Pipe()

        var pid: Int32 { process.processIdentifier }

        /// Returns when it has drawn something.
        init(_ run: ProgramRun, _ socket: String) throws {
            process.executableURL = ProgramRun.env
            process.arguments = try run.words(["exec", socket, "--", ProgramRun.glProgram, "endless"])
            process.standardOutput = output
            process.standardError = FileHandle.nullDevice
            try process.run()
            try draw()
        }

        deinit {
            if process.isRunning { Glibc.kill(pid, SIGKILL) }
        }

        /// Waits for a further picture.
        func draw() throws { try output.read(until: "picture") }

        func kill() { _ = Glibc.kill(pid, SIGKILL) }

        /// Waits for its end.
        ///
        /// - Returns: whether it ended by itself with status 0.
        func hasSucceeded() throws -> Bool {
            // What it has drawn before must not keep it from ending.
            _ = try output.fileHandleForReading.readToEnd()
            process.waitUntilExit()
            return process.terminationReason == .exit && process.terminationStatus == 0
        }
    }

    /// The process that drives a vGPU for programs; nil when there is none.
    static func bridge(of socket: String) throws -> Int32? {
        for entry in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
            guard let process = Int32(entry), let line = FileManager.default.contents(atPath: "/proc/\(entry)/cmdline")
            else { continue }
            let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            if words.count == 2, words[0].hasSuffix("/mediated-bridge"), words[1] == socket { return process }
        }
        return nil
    }

    /// Waits until a process has ended.
    static func awaitEnd(of process: Int32) throws -> Bool {
        guard let handle = try? ProcessHandle(process) else { return true }
        return try waitReadable([handle.descriptor.raw], within: .seconds(60)).contains(true)
    }
}
