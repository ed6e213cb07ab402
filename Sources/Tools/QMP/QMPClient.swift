import JSON
import Linux

/// A connection to the monitor of a running QEMU: one command at a time, with a limit to how long each may take, and
/// all together.
///
/// A monitor speaks with one client at a time; others wait in the socket's backlog, where nothing tells them so.
/// After an error other than ``QMPError/refused(command:class:description:)`` the connection is of no further use.
/// QEMU Machine Protocol Specification (docs/interop/qmp-spec).
public final class QMPClient {
    /// The longest message that is read, in bytes.
    static let lineLimit = 1 << 20
    /// How many events are kept for whoever may ask for them; the oldest go first.
    static let eventLimit = 256

    /// QEMU's version, such as "11.1.3".
    public private(set) var version = ""

    private let socket: UnixSocket
    private let patience: Duration
    private let end: Deadline
    private var incoming: LineBuffer
    private var events: [QMPEvent] = []
    private var lastID = 0

    /// Connects, waits for the greeting and leaves capabilities negotiation mode.
    ///
    /// - Parameters:
    ///   - patience: how long connecting, the greeting, and each command after it may take.
    ///   - end: when the last command ends in any case; never unless given.
    public init(
        connectingTo path: String, patience: Duration = .seconds(10), end: Deadline = .never
    ) throws(QMPError) {
        do throws(Errno) {
            socket = try UnixSocket(connectingTo: path, within: patience)
            incoming = try LineBuffer(limit: Self.lineLimit)
        } catch {
            throw .cannotConnect(path: path, error)
        }
        self.patience = patience
        self.end = end
        let greeting: JSON?
        do throws(QMPError) {
            greeting = try receive(until: deadline)
        } catch .closed {
            throw .noMonitor(path: path)
        }
        guard let greeting else { throw .noGreeting(after: patience) }
        guard let number = greeting["QMP"]?["version"]?["qemu"] else { throw .malformed("it is no greeting") }
        version = ["major", "minor", "micro"].map { number[$0]?.text ?? "?" }.joined(separator: ".")
        try execute("qmp_capabilities")
    }

    // MARK: Commands

    /// Has QEMU execute a command. Events that arrive meanwhile are kept.
    ///
    /// - Returns: what the command returns: an empty object when it only does something.
    @discardableResult
    public func execute(_ command: String, _ arguments: JSON.Object = [:]) throws(QMPError) -> JSON {
        let deadline = deadline
        lastID += 1
        let id = JSON(lastID)
        try send(["execute": .string(command), "arguments": .object(arguments), "id": id], command, until: deadline)
        while true {
            // Looked at for each message: one who sends without a pause is never waited for.
            guard !deadline.hasPassed, let message = try receive(until: deadline) else {
                throw timeOut(command)
            }
            if let event = QMPEvent(message) {
                keep(event)
            } else if message["id"] != id {
                throw .malformed("it answers what was not asked")
            } else if let result = message["return"] {
                return result
            } else if let error = message["error"], let description = error["desc"]?.string {
                throw .refused(
                    command: command, class: QMPError.Class(error["class"]?.string), description: description)
            } else {
                throw .malformed("it is neither a result nor an error")
            }
        }
    }

    // MARK: Events

    /// The first event that is wanted: one that was kept, or one that comes now. Others that come are kept.
    ///
    /// - Returns: nil when none came in time.
    public func event(
        within limit: Duration, where isWanted: (QMPEvent) -> Bool
    ) throws(QMPError) -> QMPEvent? {
        if let index = events.firstIndex(where: isWanted) { return events.remove(at: index) }
        let deadline = min(end, Deadline(after: limit))
        while !deadline.hasPassed, let message = try receive(until: deadline) {
            guard let event = QMPEvent(message) else { throw .malformed("it answers what was not asked") }
            if isWanted(event) { return event }
            keep(event)
        }
        return nil
    }

    private func keep(_ event: QMPEvent) {
        if events.count >= Self.eventLimit { events.removeFirst() }
        events.append(event)
    }

    // MARK: The wire

    private var deadline: Deadline { min(end, Deadline(after: patience)) }

    private func timeOut(_ command: String) -> QMPError {
        end.hasPassed
            ? .tookTooLong(command: command) : .timedOut(command: command, after: patience)
    }

    private func send(_ message: JSON, _ command: String, until deadline: Deadline) throws(QMPError) {
        let line = Array(message.text.utf8) + [UInt8(ascii: "\n")]
        do throws(Errno) {
            try socket.send(line.span.bytes, within: deadline.left)
        } catch .timedOut {
            throw timeOut(command)
        } catch {
            throw QMPError(error)
        }
    }

    /// The next message; nil when none came in time.
    private func receive(until deadline: Deadline) throws(QMPError) -> JSON? {
        // A monitor sends no descriptors; those of whoever is no monitor are closed here.
        var descriptors = ReceivedDescriptors()
        let line: [UInt8]
        do throws(Errno) {
            line = try incoming.receiveLine(from: socket, until: deadline, descriptors: &descriptors)
        } catch .timedOut {
            return nil
        } catch .messageTooLong {
            throw .malformed("it is longer than \(Self.lineLimit) bytes")
        } catch {
            throw QMPError(error)
        }
        do throws(JSONError) {
            return try JSON(parsing: line)
        } catch {
            throw .malformed("\(error)")
        }
    }
}

/// Something that happened in QEMU, asked for or not. QMP Specification, "Asynchronous events".
public struct QMPEvent: Equatable, Sendable {
    /// Such as `DEVICE_DELETED`.
    public var name: String
    /// What came with it; null when nothing did.
    public var data: JSON

    /// - Returns: nil when the message is none.
    init?(_ message: JSON) {
        guard let name = message["event"]?.string else { return nil }
        self.name = name
        data = message["data"] ?? .null
    }
}
