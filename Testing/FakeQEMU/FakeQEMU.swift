import JSON
import Linux
import Synchronization
import Waiting

/// A monitor that answers by a table, to one client after the other, on a thread of its own.
public final class FakeQEMU: Sendable {
    private let acceptor: Acceptor
    private let greeting: String?
    private let answers: [String: [JSON]]
    private let asked = Mutex<[JSON]>([])

    /// Begins to listen.
    ///
    /// - Parameters:
    ///   - greeting: sent to whoever connects, as it is; nil: whoever connects is hung up on.
    ///   - answers: the messages that a command leads to, by its name, or by its name and `path`, or by its name and
    ///     `implements`, with a space between; by its name and a number from that many of its kind on. A result or error gets the command's identifier. No message at all: the
    ///     connection is closed. What is not in the table, and is not `qmp_capabilities`, is an unknown command.
    public init(at path: String, greeting: String? = FakeQEMU.greeting, answers: [String: [JSON]] = [:]) throws {
        self.greeting = greeting
        self.answers = answers
        acceptor = try Acceptor(at: path)
        try acceptor.start { [self] socket in try serve(socket) }
    }

    /// What QEMU 11.1.3 says first.
    public static let greeting =
        #"{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": ""}, "capabilities": ["oob"]}}"#
        + "\r\n"

    public func end() { acceptor.end() }

    /// The arguments of each command of that name, in the order in which they came.
    public func requests(_ command: String) -> [JSON] {
        asked.withLock { $0.filter { $0["execute"]?.string == command }.map { $0["arguments"] ?? [:] } }
    }

    private func serve(_ socket: consuming UnixSocket) throws {
        guard let greeting else { return }
        try socket.send(Array(greeting.utf8).span.bytes)
        var incoming = try LineBuffer(limit: 1 << 16)
        var descriptors = ReceivedDescriptors()
        while true {
            let line = try incoming.receiveLine(from: socket, until: .never, descriptors: &descriptors)
            let request = try JSON(parsing: line)
            asked.withLock { $0.append(request) }
            let count = requests(request["execute"]?.string ?? "").count
            let messages = answer(to: request, number: count)
            guard !messages.isEmpty else { return }
            for message in messages {
                try socket.send(Array((message.text + "\r\n").utf8).span.bytes)
            }
        }
    }

    private func answer(to request: JSON, number: Int) -> [JSON] {
        let command = request["execute"]?.string ?? ""
        let argument = request["arguments"]?["path"]?.string ?? request["arguments"]?["implements"]?.string
        let messages: [JSON] =
            if let messages = answers["\(command) \(argument ?? "")"] ?? answers["\(command) \(number)"]
                ?? answers[command]
            {
                messages
            } else if command == "qmp_capabilities" {
                [["return": [:]]]
            } else {
                [
                    [
                        "error": [
                            "class": "CommandNotFound",
                            "desc": "The command \(JSON.string(command).text) has not been found",
                        ]
                    ]
                ]
            }
        return messages.map { message in
            guard message["event"] == nil, message["id"] == nil, var members = message.object, let id = request["id"]
            else { return message }
            members["id"] = id
            return .object(members)
        }
    }
}
