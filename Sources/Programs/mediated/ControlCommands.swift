import ArgumentParser
import Control
import JSON
import Linux
import PNG

/// `mediated info`
struct Info: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Tell who serves a socket.")

    @OptionGroup var target: ControlOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let info = try target.ask { client in
            try client.info()
        } orDaemon: { client, id in
            try client.get("/v1/vgpus/\(id)/info", as: ControlInfo.self)
        }
        if json { return Output.print(json: try JSON(encoding: info)) }
        let rows = [
            ["type", info.type],
            ["options", info.options.isEmpty ? "none" : info.options.joined(separator: " ")],
            ["socket", info.socket],
            ["process", "\(info.process)"],
            ["client", info.clientConnected ? "connected" : "none"],
            ["uptime", "\(Int(info.uptimeSeconds)) s"],
        ]
        Output.print(rows.columns())
    }
}

/// `mediated screenshot`
struct Screenshot: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write what a display shows now to a PNG file.")

    @OptionGroup var target: ControlOptions

    @Argument(help: "Where to write the picture; a file that is there is replaced.", completion: .file())
    var file: String

    @Option(help: "Which of the device's heads, from 0.")
    var head = 0

    func validate() throws {
        guard head >= 0 else { throw ValidationError("The head is \(head), but heads count from 0.") }
    }

    func run() throws {
        let picture: [UInt8]
        do {
            picture = try target.ask { client in
                try client.screenshot(head: head).png()
            } orDaemon: { client, id in
                try client.bytes("/v1/vgpus/\(id)/screenshot?head=\(head)")
            }
        } catch let error as PNGError {
            throw Failure(.io, "The picture can't be made a PNG: \(error).")
        }
        try writeFile(picture, to: file, as: "the picture")
    }
}

/// `mediated statistics`
struct Statistics: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print a device process's counters.")

    @OptionGroup var target: ControlOptions

    @Flag(help: "Print JSON: an object.")
    var json = false

    func run() throws {
        let statistics = try target.ask { client in
            try client.statistics()
        } orDaemon: { client, id in
            try client.json("/v1/vgpus/\(id)/statistics")
        }
        if json { return Output.print(json: statistics) }
        for (name, value) in Self.lines(statistics) { Output.print("\(name) \(value)") }
    }

    /// One line for each number, named by the way to it: `reads.0`.
    private static func lines(_ value: JSON, path: String = "") -> [(String, String)] {
        switch value {
        case .object(let members):
            members.flatMap { lines($0.value, path: path.isEmpty ? $0.name : "\(path).\($0.name)") }
        case .array(let elements):
            elements.enumerated().flatMap { lines($0.element, path: "\(path).\($0.offset)") }
        default: [(path, value.text)]
        }
    }
}

/// `mediated save`
struct Save: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a device's state to a file, for 'mediated run --state'.",
        discussion: "The guest goes on running; stop it first if its memory is to fit the state.")

    @OptionGroup var target: ControlOptions

    @Argument(help: "Where to write the state; a file that is there is replaced.", completion: .file())
    var file: String

    func run() throws {
        let state = try target.withClient { client throws(ControlClientError) in try client.save() }
        do {
            // The state holds what the guest's screen shows: it is its owner's alone.
            let replacement = try FileReplacement(path: file, mode: 0o600)
            try state.copy(to: replacement.descriptor)
            try replacement.commit()
        } catch let error as ControlClientError {
            throw Failure(error)
        } catch let error as Errno {
            throw Failure(error, cannot: "write the state to", file, otherwise: .cannotCreate)
        }
    }
}
