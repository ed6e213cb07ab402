import Control
import Glibc
import Linux

/// A process that serves a domain.
final class ServedProgram {
    /// What it has said so far.
    private(set) var said = ""
    let process: Int32
    private let log: PipeEnds

    /// One of mediated-device's, in its sandbox.
    ///
    /// - Parameters:
    ///   - program: its path.
    ///   - state: what it begins with.
    ///   - words: what it says when it is there.
    convenience init(
        _ program: String, _ type: String, in domain: UInt16, _ options: [String] = [], state: [UInt8]? = nil,
        awaiting words: String = "Serving"
    ) throws {
        let folder = Self.makeFolder(of: domain)
        var arguments = [
            type, "--xen", "\(domain)", "--slot", "\(Slot.address)", "--control", folder + "/control", "--sandbox",
        ]
        if let state {
            unlink(folder + "/state")
            try Descriptor(appendingTo: folder + "/state", mode: 0o600).writeAll(state.span.bytes)
            arguments += ["--restore", folder + "/state"]
        }
        try self.init(running: program, arguments + options, awaiting: words)
    }

    /// - Parameters:
    ///   - program: its path.
    ///   - words: what it says when it is there; nil: it isn't waited for.
    init(running program: String, _ arguments: [String], awaiting words: String? = "Serving") throws {
        log = try PipeEnds(blocks: true)
        process = try ChildProcess.spawn(program, arguments, passing: [], standardError: log.writer.raw)
        if let words { try read(until: words) }
    }

    private static func folder(of domain: UInt16) -> String { "/run/domain-\(domain)" }

    static func makeFolder(of domain: UInt16) -> String {
        let folder = folder(of: domain)
        mkdir(folder, 0)
        // Whoever a process becomes makes its socket there.
        chmod(folder, 0o777)
        return folder
    }

    /// Asks mediated-device what administrators ask.
    static func control(of domain: UInt16) throws -> ControlClient {
        try ControlClient(connectingTo: folder(of: domain) + "/control")
    }

    /// Whose process it is.
    var user: UInt32? {
        get throws {
            let status = try Descriptor(reading: "/proc/\(process)/status").readBytes(upTo: 4096)
            let line = String(decoding: status, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("Uid:") }
            return line?.split(separator: "\t").dropFirst().first.flatMap { UInt32($0) }
        }
    }

    /// Sends it a signal.
    func signal(_ number: Int32) { kill(process, number) }

    /// Reads what it says until some words are there.
    func read(until words: String) throws {
        while !said.contains(words) {
            let ready = try waitReadable([log.reader.raw], within: .seconds(60))
            guard ready.first == true else { throw Failed("The program has said no more than '\(said)'.") }
            said += String(decoding: try log.reader.readOnce(upTo: 4096), as: UTF8.self)
        }
    }

    /// Waits until it has ended.
    ///
    /// - Returns: its status, as `waitpid(2)` tells it.
    func awaitEnd() -> Int32 {
        var status: Int32 = -1
        waitpid(process, &status, 0)
        return status
    }
}
