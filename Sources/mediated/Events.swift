import ArgumentParser
import Control
import Glibc
import JSON

/// `mediated events`
struct Events: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what has happened to a device process lately.")

    @OptionGroup var target: ControlOptions

    @Flag(help: "Go on with what happens from now on, until interrupted.")
    var follow = false

    @Flag(help: "Print JSON: an object on each line.")
    var json = false

    func run() throws {
        let hasEnded = try target.withClient { client throws(ControlClientError) in
            var last = try print(client.events(milliseconds: 10_000), after: 0)
            guard follow else { return false }
            while true {
                do throws(ControlClientError) {
                    last = try print(client.events(after: last, milliseconds: -1), after: last)
                } catch .closed {
                    return true
                }
            }
        }
        if hasEnded {
            throw Failure(
                .unavailable, "The device process has ended, or too many others want to be told of its events.")
        }
    }

    /// Prints what has come at once: whoever follows wants to see it.
    ///
    /// - Parameter previous: the number that the process was asked for.
    /// - Returns: the number to ask for next.
    private func print(_ news: ControlEvents, after previous: Int) throws(ControlClientError) -> Int {
        guard news.last > previous else { throw .malformedReply("it tells of no event behind number \(previous)") }
        for line in json ? news.jsonLines : news.lines { Swift.print(line) }
        fflush(nil)
        return news.last
    }
}

extension ControlEvents {
    fileprivate var jsonLines: [String] {
        let events = events.map { event in
            let members: JSON = [
                "number": JSON(event.number), "time": .number(event.time), "kind": .string(event.kind),
                "message": .string(event.message),
            ]
            return members.text
        }
        return (lost > 0 ? [(["lost": JSON(lost)] as JSON).text] : []) + events
    }

    /// Time, kind and message of each, in columns.
    var lines: [String] {
        let width = ControlEvent.Kind.allCases.map(\.rawValue.count).max() ?? 0
        func line(_ time: String, _ kind: String, _ message: String) -> String {
            "\(time.padded(to: UTCTime.width))  \(kind.printable.padded(to: width))  \(message.printable)"
        }
        let lost = lost > 0 ? [line("…", "…", "\(lost) events are not kept any more.")] : []
        return lost + events.map { line(UTCTime($0.time)?.description ?? "?", $0.kind, $0.message) }
    }
}

extension String {
    /// With spaces behind it, up to so many characters.
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
