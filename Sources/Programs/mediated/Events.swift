import ArgumentParser
import Control
import DaemonAPI
import DaemonClient
import Glibc
import JSON
import Mediation

/// `mediated events`
struct Events: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what has happened lately: to all vGPUs and the daemon, to one, or to a device process.")

    @Argument(
        help: ArgumentHelp(
            "The UUID of a vGPU, or the vfio-user socket of a device process. [default: all that the daemon has noted]",
            valueName: "socket"),
        completion: .file())
    var target: String?

    @Option(help: "Only what concerns one vGPU.")
    var vgpu: InstanceID?

    @Option(help: "The process's control socket. [default: SOCKET.control]", completion: .file())
    var control: String?

    @Flag(help: "Go on with what happens from now on, until interrupted.")
    var follow = false

    @Flag(help: "Print JSON: an object on each line.")
    var json = false

    @OptionGroup var daemon: DaemonOptions

    /// The vGPU that is named, if it is one.
    private var id: InstanceID? { vgpu ?? target.flatMap { InstanceID($0) } }

    func validate() throws {
        guard target == nil || vgpu == nil else { throw ValidationError("Name one vGPU, or one socket.") }
        guard control == nil || (target != nil && id == nil) else {
            throw ValidationError("--control goes with a socket.")
        }
    }

    func run() throws {
        guard let target, id == nil else { return try printJournal() }
        do throws(ControlClientError) {
            try printEvents(of: ControlClient(connectingTo: control ?? ControlClient.path(besides: target)))
        } catch .closed where follow {
            throw Failure(
                .unavailable, "The device process has ended, or too many others want to be told of its events.")
        } catch {
            throw Failure(error)
        }
    }

    // MARK: A device process

    private func printEvents(of client: ControlClient) throws(ControlClientError) {
        var last = try print(client.events(within: .seconds(10)), after: 0)
        while follow { last = try print(client.events(after: last, within: nil), after: last) }
    }

    /// Prints what has come at once: whoever follows wants to see it.
    ///
    /// - Parameter previous: the number that the process was asked for.
    /// - Returns: the number to ask for next.
    private func print(_ news: ControlEvents, after previous: Int) throws(ControlClientError) -> Int {
        guard news.last > previous else { throw .malformedReply("it tells of no event behind number \(previous)") }
        if json {
            for value in news.json { Output.print(json: value, onOneLine: true) }
        } else {
            Output.print(news.lines)
        }
        fflush(nil)
        return news.last
    }

    // MARK: The daemon

    /// How long the daemon may keep an answer back until something happens, in seconds.
    private static let wait = 50

    private func printJournal() throws {
        let filter = id.map { "&vgpu=\($0)" } ?? ""
        try daemon.ask { client throws(DaemonClientError) in
            var page: JournalPage = try client.get("/v1/events?after=0\(filter)")
            while true {
                for event in page.events {
                    if json {
                        Output.print(json: try event.json, onOneLine: true)
                    } else {
                        Output.print(event.line(namesVGPU: id == nil))
                    }
                }
                guard follow else { return }
                fflush(nil)
                page = try client.get("/v1/events?after=\(page.last)&wait=\(Self.wait)\(filter)")
            }
        }
    }
}

extension JournalEvent {
    fileprivate var json: JSON {
        get throws(DaemonClientError) {
            do throws(JSONError) { return try JSON(encoding: self) } catch { throw .malformed("\(error)") }
        }
    }

    /// Time, kind, vGPU and message, in columns.
    fileprivate func line(namesVGPU: Bool) -> String {
        let width = ControlEvent.Kind.allCases.map(\.rawValue.count).max() ?? 0
        let columns =
            [(UTCTime(time)?.description ?? "?").padded(to: UTCTime.width), kind.excerpt.padded(to: width)]
            + (namesVGPU ? [(vgpu ?? "-").excerpt.padded(to: "\(InstanceID())".count)] : []) + [message.excerpt]
        return columns.joined(separator: "  ")
    }
}

extension ControlEvents {
    fileprivate var json: [JSON] {
        let events: [JSON] = events.map { event in
            [
                "number": JSON(event.number), "time": .number(event.time), "kind": .string(event.kind),
                "message": .string(event.message),
            ]
        }
        return (lost > 0 ? [["lost": JSON(lost)]] : []) + events
    }

    /// Time, kind and message of each, in columns.
    var lines: [String] {
        let width = ControlEvent.Kind.allCases.map(\.rawValue.count).max() ?? 0
        func line(_ time: String, _ kind: String, _ message: String) -> String {
            "\(time.padded(to: UTCTime.width))  \(kind.excerpt.padded(to: width))  \(message.excerpt)"
        }
        let lost = lost > 0 ? [line("…", "…", "\(lost) events are not kept any more.")] : []
        return lost + events.map { line(UTCTime($0.time)?.description ?? "?", $0.kind, $0.message) }
    }
}

extension String {
    /// With spaces behind it, up to so many characters.
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
