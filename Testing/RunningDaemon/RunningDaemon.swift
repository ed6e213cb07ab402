import Foundation
import Glibc
import Linux
import Programs

/// A daemon with folders of its own, as a user runs it. What it has started ends with this object.
public final class RunningDaemon {
    /// It doesn't serve, and what it has said.
    public struct Failure: Error {
        public let log: String
    }

    public let scratch: Scratch
    public private(set) var process: Int32 = 0
    private let command: [String]
    private let folder: URL

    /// - Parameters:
    ///   - command: one of the programs that the build has made, and its first arguments.
    ///   - folder: where it is; where the build has put it unless given.
    ///   - types: the administrator's file.
    ///   - isStarted: whether it begins at once.
    public init(by command: [String], in folder: URL? = nil, types: String?, isStarted: Bool) throws {
        scratch = try Scratch()
        self.command = command
        self.folder = try folder ?? Program.folder
        if let types { try setTypes(types) }
        if isStarted { try start() }
    }

    deinit {
        kill(SIGKILL)
        for process in Self.deviceProcesses(below: root) { Glibc.kill(process, SIGKILL) }
    }

    public var root: String { scratch.url.path }
    public var socket: String { scratch.path("run/mediated.sock") }
    public var log: String { (try? String(contentsOfFile: scratch.path("out"), encoding: .utf8)) ?? "" }

    /// Writes the administrator's file.
    public func setTypes(_ text: String) throws {
        try FileManager.default.createDirectory(atPath: scratch.path("etc"), withIntermediateDirectories: true)
        _ = try scratch.write(text, to: "etc/types.yaml")
    }

    // MARK: Its process

    /// Starts it, and returns when it serves.
    public func start(preparing preparation: String? = nil, passing descriptors: [Int32] = []) throws {
        let notifications = try Notifications(path: scratch.path("ready"))
        let environment = "export NOTIFY_SOCKET='\(notifications.path)'"
        try launch(
            preparing: [environment, preparation].compactMap(\.self).joined(separator: "; "), passing: descriptors)
        // What it writes is on the disk before it goes on, and the disk may have much else to do.
        let handle = try ProcessHandle(process)
        let ready = try waitReadable(
            [notifications.descriptor.raw, handle.descriptor.raw], within: .seconds(240))
        guard ready.first == true, try notifications.next() == "READY=1" else { throw Failure(log: log) }
    }

    /// Starts it, and returns at once.
    ///
    /// - Parameters:
    ///   - preparation: what its process does before it becomes the daemon, in the shell's language.
    ///   - descriptors: what it inherits, from 3 on.
    public func launch(preparing preparation: String? = nil, passing descriptors: [Int32] = []) throws {
        let output = Descriptor(owning: open(scratch.path("out"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600))
        let program = folder.appendingPathComponent(command[0]).path
        let words = [program] + command.dropFirst() + ["--root", root, "--group", "no-such-group"]
        let shell = preparation.map { ["/bin/sh", "-c", "\($0); exec \"$@\"", "sh"] } ?? []
        let all = shell + words
        process = try ChildProcess.spawn(
            all[0], Array(all.dropFirst()), passing: descriptors, standardError: output.raw)
    }

    /// Whether it has not ended yet, waited for or not.
    public var isRunning: Bool {
        var end = siginfo_t()
        return process > 0 && waitid(P_PID, id_t(process), &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_signo == 0
    }

    /// Ends it by a signal, and waits until it is gone.
    ///
    /// - Returns: how it ended, as `waitpid(2)` tells.
    @discardableResult
    public func kill(_ signal: Int32) -> Int32 {
        if process > 0 { Glibc.kill(process, signal) }
        return wait()
    }

    /// Waits until it has ended by itself.
    ///
    /// - Returns: how it ended, as `waitpid(2)` tells.
    public func wait() -> Int32 {
        guard process > 0 else { return 0 }
        var status: Int32 = 0
        waitpid(process, &status, 0)
        process = 0
        return status
    }

    /// The names of its threads, once for each that has it. `proc(5)`, /proc/PID/task
    public var threads: [String] {
        get throws {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task").compactMap { thread in
                // One that ends meanwhile is none.
                let name = try? Descriptor(reading: "/proc/\(process)/task/\(thread)/comm").readBytes(upTo: 64)
                return name.map { String(decoding: $0.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self) }
            }
        }
    }

    /// Every mediated-device whose command line names a folder.
    public static func deviceProcesses(below root: String) -> [Int32] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap(Int32.init).filter { pid in
            // Foundation leaks what it has read of a file whose size is said to be 0.
            guard let file = try? Descriptor(reading: "/proc/\(pid)/cmdline"),
                let words = try? file.readBytes(upTo: 1 << 16)
            else { return false }
            let line = String(decoding: words, as: UTF8.self)
            return line.contains("mediated-device\0") && line.contains("\(root)/")
        }
    }
}
