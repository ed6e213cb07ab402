import DaemonAPI
import DaemonClient
import Foundation
import JSON
import Programs
import Testing

/// A daemon below a folder of its own. What it has started ends with it.
final class RunningDaemon {
    let scratch: Scratch
    private let process = Process()
    private let errors = Pipe()
    /// The device processes that the daemon had when it was killed.
    private var left: [pid_t] = []

    /// Returns when it serves. It is started as a user starts it.
    ///
    /// - Parameter types: what its types.yaml says; nil: there is none.
    init(types: String? = nil) throws {
        scratch = try Scratch()
        if let types {
            try FileManager.default.createDirectory(atPath: scratch.path("etc"), withIntermediateDirectories: true)
            try Data(types.utf8).write(to: URL(fileURLWithPath: scratch.path("etc/types.yaml")))
        }
        process.executableURL = try Program.folder.appendingPathComponent("mediated")
        process.arguments = ["daemon", "--root", scratch.url.path, "--group", "nobody-has-this"]
        process.standardError = errors
        try process.run()
        try errors.read(until: "Serving")
    }

    deinit {
        end()
        // They outlive the daemon.
        for process in left { kill(process, SIGKILL) }
    }

    var root: String { scratch.url.path }
    var client: DaemonClient { DaemonClient(path: scratch.path("run/mediated.sock")) }

    /// Kills the daemon. Its device processes go on.
    func end() {
        guard process.isRunning else { return }
        left = (try? client.get("/v1/vgpus", as: VGPUList.self).vgpus.compactMap(\.pid)) ?? []
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    func run(_ arguments: String...) throws -> Program.Outcome {
        try Command.run(arguments + ["--root", root], in: scratch.url)
    }

    /// What a verb prints, which must go well.
    func output(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
        let outcome = try Command.run(arguments + ["--root", root], in: scratch.url)
        #expect(
            outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)", sourceLocation: sourceLocation)
        return outcome.output
    }

    /// Expects that a verb fails with a sentence.
    func expectFailure(
        _ status: Int32, _ words: String, _ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let outcome = try Command.run(arguments + ["--root", root], in: scratch.url)
        #expect(outcome.status == status, "\(outcome)", sourceLocation: sourceLocation)
        #expect(outcome.errors.contains(words), "\(outcome.errors)", sourceLocation: sourceLocation)
        #expect(outcome.output.isEmpty, sourceLocation: sourceLocation)
    }

    /// Defines a vGPU.
    func define(_ type: String = "exerciser", _ more: String...) throws -> String {
        let outcome = try Command.run(["define", "-t", type, "--root", root] + more)
        #expect(outcome.errors.isEmpty)
        return try #require(outcome.output.split(separator: "\n").first.map(String.init))
    }

    func vgpu(_ uuid: String) throws -> VGPU { try client.get("/v1/vgpus/\(uuid)") }

    /// Defines and starts a vGPU.
    func started(_ type: String = "exerciser", _ more: String...) throws -> VGPU {
        let outcome = try Command.run(["start", "-t", type, "--root", root] + more)
        return try vgpu(try #require(outcome.output.split(separator: "\n").first.map(String.init)))
    }
}

/// A UUID that nobody has.
let unknownUUID = "00000000-1111-4222-8333-444444444444"
