import DaemonAPI
import DaemonClient
import Foundation
import JSON
import Programs
import RunningDaemon
import Testing

extension RunningDaemon {
    /// Starts it as a user does.
    ///
    /// - Parameter types: what its types.yaml says; nil: there is none.
    convenience init(types: String? = nil) throws {
        try self.init(by: ["mediated", "daemon"], types: types, isStarted: true)
    }

    var client: DaemonClient { DaemonClient(path: socket) }

    /// Kills the daemon. Its device processes go on.
    func end() { kill(SIGKILL) }

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
