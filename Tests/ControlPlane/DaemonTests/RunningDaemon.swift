import Foundation
import Glibc
import JSON
import Linux
import Programs
import Testing

/// A daemon with folders of its own, as a user runs it. What it has started ends with this object.
final class RunningDaemon {
    let root: String
    private(set) var process: Int32 = 0

    /// - Parameters:
    ///   - types: the administrator's file.
    ///   - isStarted: whether it begins at once.
    init(types: String? = nil, isStarted: Bool = true) throws {
        // Short, for a socket's path has at most 107 bytes.
        root = "/tmp/md-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: "\(root)/etc", withIntermediateDirectories: true)
        if let types { try types.write(toFile: "\(root)/etc/types.yaml", atomically: false, encoding: .utf8) }
        if isStarted { try start() }
    }

    deinit {
        kill(SIGKILL)
        for pid in Self.deviceProcesses(below: root) { Glibc.kill(pid, SIGKILL) }
        try? FileManager.default.removeItem(atPath: root)
    }

    var socket: String { "\(root)/run/mediated.sock" }
    var log: String { (try? String(contentsOfFile: "\(root)/out", encoding: .utf8)) ?? "" }

    /// Starts it, and returns when it answers.
    func start(preparing preparation: String? = nil, passing descriptors: [Int32] = []) throws {
        try launch(preparing: preparation, passing: descriptors)
        try awaitAnswer()
    }

    func awaitAnswer() throws {
        // What it writes is on the disk before it goes on, and the disk may have much else to do.
        let deadline = Deadline(after: .seconds(240))
        while (try? HTTPExchange("GET", "/v1/status", over: socket)) == nil {
            try #require(!deadline.hasPassed && isRunning, "The daemon doesn't answer: \(log)")
            _ = try? waitReadable([], within: .milliseconds(5))
        }
    }

    /// Starts it, and returns at once.
    ///
    /// - Parameters:
    ///   - preparation: what its process does before it becomes the daemon, in the shell's language.
    ///   - descriptors: what it inherits, from 3 on.
    func launch(preparing preparation: String? = nil, passing descriptors: [Int32] = []) throws {
        let output = open("\(root)/out", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        defer { close(output) }
        let words = [
            try Program.folder.appendingPathComponent("mediated-daemon").path, "--root", root, "--group",
            "no-such-group",
        ]
        let shell = preparation.map { ["/bin/sh", "-c", "\($0); exec \"$@\"", "sh"] } ?? []
        let command = shell + words
        process = try ChildProcess.spawn(
            command[0], Array(command.dropFirst()), passing: descriptors, standardError: output)
    }

    /// Whether it has not ended yet, waited for or not.
    var isRunning: Bool {
        var end = siginfo_t()
        return process > 0 && waitid(P_PID, id_t(process), &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_signo == 0
    }

    /// Ends it by a signal, and waits until it is gone.
    ///
    /// - Returns: how it ended, as `waitpid(2)` tells.
    @discardableResult
    func kill(_ signal: Int32) -> Int32 {
        guard process > 0 else { return 0 }
        var status: Int32 = 0
        Glibc.kill(process, signal)
        waitpid(process, &status, 0)
        process = 0
        return status
    }

    /// Waits until it has ended by itself.
    ///
    /// - Returns: how it ended, as `waitpid(2)` tells.
    func wait() -> Int32 {
        guard process > 0 else { return 0 }
        var status: Int32 = 0
        waitpid(process, &status, 0)
        process = 0
        return status
    }

    /// Every mediated-device whose command line names a folder.
    static func deviceProcesses(below root: String) -> [Int32] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap(Int32.init).filter { pid in
            // Foundation leaks what it has read of a file whose size is said to be 0.
            guard let file = try? Descriptor(reading: "/proc/\(pid)/cmdline"),
                let words = try? file.readBytes(upTo: 1 << 16)
            else { return false }
            let line = String(decoding: words, as: UTF8.self)
            return line.contains("mediated-device\0") && line.contains("\(root)/")
        }
    }

    // MARK: Requests

    @discardableResult
    func request(
        _ method: String, _ path: String, _ body: JSON? = nil, contentType: String = "application/json"
    ) throws -> HTTPExchange {
        try HTTPExchange(
            method, path, body: body.map { Array($0.text.utf8) }, contentType: body == nil ? nil : contentType,
            over: socket)
    }

    func patch(_ id: String, _ body: JSON) throws -> HTTPExchange {
        try request("PATCH", "/v1/vgpus/\(id)", body, contentType: "application/merge-patch+json")
    }

    /// Defines a vGPU.
    func define(_ type: String = "exerciser", _ more: (String, JSON)...) throws -> String {
        let parent: [(String, JSON)] = more.contains { $0.0 == "parent" } ? [] : [("parent", "cpu")]
        let body = JSON.Object(parent + [("type", .string(type))] + more)
        let answer = try request("POST", "/v1/vgpus", .object(body))
        try #require(answer.status == 201, "\(answer)")
        return try #require(answer.json["uuid"]?.string)
    }

    func vgpu(_ id: String) throws -> JSON { try request("GET", "/v1/vgpus/\(id)").json }

    /// The device processes that vGPUs have.
    func knownProcesses() throws -> Set<Int32> {
        Set(try settledVGPUs().compactMap { $0["pid"]?.int.flatMap(Int32.init) })
    }

    /// All vGPUs, once none of them is about to be started.
    func settledVGPUs() throws -> [JSON] {
        let deadline = Deadline(after: .seconds(60))
        while true {
            let vgpus = try request("GET", "/v1/vgpus").json["vgpus"]?.array ?? []
            if vgpus.allSatisfy({ ["running", "stopped"].contains($0["state"]?.string) }) { return vgpus }
            try #require(!deadline.hasPassed, "\(vgpus)")
            _ = try? waitReadable([], within: .milliseconds(5))
        }
    }

    /// Waits until the journal has an event of a kind.
    func event(_ kind: String, of id: String? = nil, after number: Int = 0) throws -> JSON {
        var last = number
        let deadline = Deadline(after: .seconds(60))
        while !deadline.hasPassed {
            let page = try request("GET", "/v1/events?wait=5&after=\(last)" + (id.map { "&vgpu=\($0)" } ?? "")).json
            if let found = page["events"]?.array?.first(where: { $0["kind"]?.string == kind }) { return found }
            last = page["last"]?.int ?? last
        }
        throw HTTPExchange.Failure("The journal has no \(kind).")
    }
}
