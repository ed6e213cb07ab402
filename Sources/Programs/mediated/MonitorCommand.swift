import ArgumentParser
import Control
import Device

/// `mediated monitor`
struct MonitorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "monitor",
        abstract: "Put a monitor at a head of a running display, change it, or take it away.",
        discussion: "The guest is told at once, as when a cable is plugged in or pulled out.")

    @OptionGroup var target: ControlOptions

    @Argument(help: "Which of the device's heads, from 0.")
    var head: Int

    @Argument(help: "What the monitor prefers, as WIDTHxHEIGHT such as 1280x720; or 'off' for none.")
    var monitor: Choice

    func validate() throws {
        guard head >= 0 else { throw ValidationError("The head is \(head), but heads count from 0.") }
    }

    func run() throws {
        try target.ask { client in
            try client.connect(monitor.monitor, to: head)
        } orDaemon: { client, id in
            let path = "/v1/vgpus/\(id)/monitors/\(head)"
            if let monitor = monitor.monitor { try client.put(path, monitor) } else { try client.delete(path) }
        }
    }

    /// A monitor or none.
    struct Choice: ExpressibleByArgument {
        let monitor: Monitor?

        init?(argument: String) {
            guard argument != "off" else {
                monitor = nil
                return
            }
            let parts = argument.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
            guard parts.count == 2, let width = parts[0], let height = parts[1] else { return nil }
            monitor = Monitor(width: width, height: height)
        }
    }
}
