import Foundation
import Linux
import Programs
import Synchronization
import Testing

/// What became of a process.
enum Ending: Equatable {
    case exit(Int32)
    case signal(Int32)
}

/// How many descriptors a device process may have: what it wants, or what whoever runs the tests may have.
func descriptorsOfDevice() throws -> UInt64 {
    var limit = rlimit()
    try #require(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
    return min(36_864, UInt64(limit.rlim_max))
}

/// Two connected sockets: what is written at one end is read at the other. No child that a test beside this one starts
/// inherits them, as it could a pipe.
final class Channel {
    let reading: Descriptor
    /// The number of the end to write to; -1 when it is closed.
    private(set) var writing: Int32

    init() throws {
        var raw: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &raw) == 0 else {
            throw Errno(rawValue: errno)
        }
        reading = Descriptor(owning: raw[0])
        writing = raw[1]
    }

    deinit {
        closeWriting()
    }

    func closeWriting() {
        if writing >= 0 { close(writing) }
        writing = -1
    }
}

/// A process of one of this package's programs.
final class Child {
    let pid: pid_t
    private let standardOutput: Channel
    private let standardError: Channel
    private var ending: Ending?

    /// Starts a program with descriptors of this process's, by the numbers, below 400, that it is to find them at.
    init(_ program: String, _ arguments: [String], descriptors: [(Int32, as: Int32)] = []) throws {
        let (output, error) = (try Channel(), try Channel())
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var copies: [Int32] = []
        defer { for copy in copies { close(copy) } }
        for (raw, number) in [(output.writing, as: STDOUT_FILENO), (error.writing, as: STDERR_FILENO)] + descriptors {
            // Above all numbers that are given away, so that none is overwritten before its turn.
            let copy = fcntl(raw, F_DUPFD_CLOEXEC, 400)
            guard copy >= 0 else { throw Errno(rawValue: errno) }
            copies.append(copy)
            posix_spawn_file_actions_adddup2(&actions, copy, number)
        }
        let path = try Program.folder.appendingPathComponent(program).path
        let words = ([path] + arguments).map { strdup($0) }
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, path, &actions, nil, words + [nil], environ)
        guard result == 0 else { throw Errno(rawValue: result) }
        self.pid = pid
        standardOutput = output
        standardError = error
        output.closeWriting()
        error.closeWriting()
    }

    deinit {
        if ending == nil {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
    }

    /// All that it says on standard output, to its end.
    func output() throws -> String { String(decoding: try standardOutput.reading.readBytes(upTo: .max), as: UTF8.self) }

    /// All that it says on standard error, to its end.
    func errors() throws -> String { String(decoding: try standardError.reading.readBytes(upTo: .max), as: UTF8.self) }

    /// What it says on standard error until `text` comes.
    func errors(until text: String) throws -> String {
        var said = ""
        while !said.contains(text) {
            let more = try standardError.reading.readBytes(upTo: 1)
            guard !more.isEmpty else { throw Ended(said: said) }
            said += String(decoding: more, as: UTF8.self)
        }
        return said
    }

    struct Ended: Error {
        let said: String
    }

    func terminate() { kill(pid, SIGTERM) }

    /// Waits for its end.
    func wait() -> Ending {
        if let ending { return ending }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        let ended: Ending = status & 0x7f == 0 ? .exit(status >> 8 & 0xff) : .signal(status & 0x7f)
        ending = ended
        return ended
    }

    /// The words of a line of /proc/PID/status, of the first thread or another.
    func status(_ name: String, ofThread thread: String? = nil) throws -> [String] {
        let text = try String(
            contentsOfFile: "/proc/\(pid)/task/\(thread ?? "\(pid)")/status", encoding: .utf8)
        let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
        return try #require(line).dropFirst(name.count + 1).split(whereSeparator: \.isWhitespace).map(String.init)
    }
}

/// Not root: what only root can do is said to be left out.
let isRoot = geteuid() == 0
