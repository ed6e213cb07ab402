import Control
import FakeGuest
import Foundation
import Glibc
import Linux
import Programs

/// A device process, and what it uses of the machine.
final class VirtualGPU {
    private let process = Process()
    private let folder: Scratch
    private let errors = Pipe()

    var socket: String { folder.path("vgpu") }
    var controlSocket: String { ControlClient.path(besides: socket) }
    private var pid: Int32 { process.processIdentifier }
    /// How many descriptors it has when nobody is connected.
    private var descriptorsAtRest = 0

    /// Starts an exerciser, confined where this process may look into it all the same, and returns when it serves.
    init() throws {
        folder = try Scratch()
        process.executableURL = try Program.folder.appendingPathComponent("mediated-device")
        process.arguments = ["exerciser", "--socket", socket] + (geteuid() == 0 ? ["--sandbox"] : [])
        process.standardError = errors
        try process.run()
        try errors.read(until: "Serving")
        // Once it has answered, it has all that it opens by itself; and this connection.
        let control = try control()
        _ = try control.info()
        descriptorsAtRest = try usage().descriptors - 1
    }

    deinit {
        process.terminate()
        process.waitUntilExit()
    }

    var isRunning: Bool { process.isRunning }

    /// A client that has agreed on a version, of a device that is a bus master.
    func client() throws -> RawClient { try Self.client(at: socket) }

    static func client(at socket: String) throws -> RawClient {
        while true {
            let client = try RawClient(path: socket)
            // The last one may be leaving.
            guard try client.negotiate().errno != .resourceBusy else { continue }
            try client.setBusMaster()
            return client
        }
    }

    func control() throws -> ControlClient { try ControlClient(connectingTo: controlSocket) }

    /// Waits until all connections are closed, and all else that they brought.
    func awaitRest() throws {
        let deadline = Deadline(after: .seconds(10))
        while true {
            let descriptors = try usage().descriptors
            if descriptors == descriptorsAtRest { return }
            guard !deadline.hasPassed else {
                throw Failure("The process keeps \(descriptors) descriptors and began with \(descriptorsAtRest).")
            }
            sched_yield()
        }
    }

    /// What a process uses.
    struct Usage {
        /// Private memory that is there, in bytes. RssAnon
        var memory: Int
        var descriptors: Int
        /// Lines of /proc/PID/maps.
        var maps: Int
        var threads: Int
    }

    func usage() throws -> Usage {
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        func number(_ name: String) throws -> Int {
            let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            guard let word = line?.split(whereSeparator: \.isWhitespace).dropFirst().first, let number = Int(word)
            else {
                throw Failure("/proc/\(pid)/status says nothing of \(name).")
            }
            return number
        }
        return Usage(
            memory: try number("RssAnon") << 10,
            descriptors: try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count,
            maps: try String(contentsOfFile: "/proc/\(pid)/maps", encoding: .utf8).split(separator: "\n").count,
            threads: try number("Threads"))
    }
}

struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
