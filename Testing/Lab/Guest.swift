import Foundation

/// What runs the lab's guest.
public protocol Guest {
    var agent: Agent { get }
}

extension Guest {
    /// Waits until the guest's agent takes commands: after a boot, and after each reset.
    public func awaitReady() throws {
        _ = try agent.waitFor("::ready::\n")
    }

    /// Runs a shell command in the guest.
    @discardableResult
    public func run(_ command: String) throws -> Agent.Outcome {
        try start(command)
        return try finish()
    }

    /// Runs a shell command that takes long, and says each line of its output as soon as it is there.
    ///
    /// - Throws: what ``Agent/waitFor(_:)`` throws; between two lines the guest has the time that it has for
    ///   everything.
    public func run(_ command: String, eachLine: (String) throws -> Void) throws -> Agent.Outcome {
        try start(command)
        var lines: [String] = []
        while true {
            let line = try agent.waitFor("\n")
            if line.hasPrefix("::exit "), line.hasSuffix("::") {
                let status = Int(line.dropFirst("::exit ".count).dropLast(2)) ?? -1
                return .init(
                    status: status,
                    output: lines.joined(separator: "\n").trimmingCharacters(in: .whitespacesAndNewlines))
            }
            lines.append(line)
            try eachLine(line)
        }
    }

    /// Begins a command that the host has a part in.
    public func start(_ command: String) throws {
        try agent.send(command + "\n")
    }

    /// Waits for the end of the command that was begun.
    public func finish() throws -> Agent.Outcome {
        let output = try agent.waitFor("\n::exit ")
        let status = try agent.waitFor("::\n")
        return .init(status: Int(status) ?? -1, output: output.trimmingCharacters(in: .whitespacesAndNewlines))
    }
}

/// The agent of the lab's guest, at its first serial port. Lab/README.md
public final class Agent {
    private let input: FileHandle
    private let output: FileHandle
    /// What the guest has said and nobody has waited for yet, in bytes: a read may end within a character, or between
    /// the carriage return and the line feed that a terminal ends a line with.
    private var console = Data()

    private let patience: TimeInterval

    /// What a command came to.
    public struct Outcome {
        public var status: Int
        public var output: String
    }

    /// - Parameter patience: how long the guest may take for anything, in seconds. A boot takes five on a quiet
    ///   machine.
    public init(reading output: FileHandle, writing input: FileHandle, patience: TimeInterval = 120) {
        (self.input, self.output, self.patience) = (input, output, patience)
    }

    public func send(_ text: String) throws {
        try input.write(contentsOf: Data(text.utf8))
    }

    /// Waits until the console shows `mark`.
    ///
    /// - Returns: what came before it.
    public func waitFor(_ mark: String) throws -> String {
        let deadline = Date(timeIntervalSinceNow: patience)
        while true {
            if let range = console.range(of: Data(mark.utf8)) {
                defer { console = Data(console[range.upperBound...]) }
                return String(decoding: console[..<range.lowerBound], as: UTF8.self)
            }
            var said: String { String(decoding: console.suffix(2000), as: UTF8.self) }
            let left = deadline.timeIntervalSinceNow
            var entry = pollfd(fd: output.fileDescriptor, events: Int16(POLLIN), revents: 0)
            guard left > 0, poll(&entry, 1, Int32(left * 1000)) > 0 else {
                throw GuestError("The guest did not say '\(mark)'. Its console: \(said)")
            }
            let data = output.availableData
            guard !data.isEmpty else { throw GuestError("QEMU ended. The console: \(said)") }
            console += data.filter { $0 != UInt8(ascii: "\r") }
        }
    }
}

/// Why a guest's test can't go on.
public struct GuestError: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
