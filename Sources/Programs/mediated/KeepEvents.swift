import ArgumentParser
import Control
import Glibc
import Linux

/// `mediated keep-events`, which `mediated run` starts beside a device process: it has the memory of the flight
/// recorders, and when the process dies it says what that was about.
struct KeepEvents: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keep-events", abstract: "Keep the last events of the process that starts this one.",
        shouldDisplay: false)

    @Option(help: "The process.")
    var process: Int32

    @Argument(help: "The control sockets of its devices.")
    var controls: [String]

    /// Starts it, before this process becomes the device process `arguments` are for. Without it all goes on as well.
    static func start(for arguments: DeviceArguments) {
        guard arguments.isRecording, let program = try? CompanionProgram.path(of: "mediated") else { return }
        let controls = arguments.functions.map(\.control)
        // What an earlier process has left says nothing of this one.
        for control in controls { unlink(KeptEvents.path(besides: control)) }
        _ = try? ChildProcess.spawn(
            program, ["keep-events", "--process", "\(getpid())", "--"] + controls, passing: [])
    }

    func run() throws {
        // What ends the device process in order is for that one alone: this one ends with it.
        _ = try SignalFD([SIGINT, SIGTERM, SIGHUP])
        // It may have ended already.
        guard let handle = try? ProcessHandle(process), getppid() == process else { return }
        let kept = controls.map { ask($0, while: handle) }
        while !hasEnded(handle, within: .seconds(3600)) {}
        for case let (control, kept?) in zip(controls, kept) {
            guard let bytes = try? kept.file.bytes() else { continue }
            tell(KeptEvents(bytes, ofType: kept.type), control)
        }
    }

    /// A device's type, and its recorder's memory, once it serves; nil when it doesn't.
    private func ask(_ control: String, while handle: ProcessHandle) -> (type: String, file: AttachedFile)? {
        let patience = Deadline(after: .seconds(60))
        while !patience.hasPassed {
            if let client = try? ControlClient(connectingTo: control), let type = try? client.info().type {
                return (try? client.recorder()).map { (type, $0) }
            }
            // Nobody tells when a socket begins to listen.
            if hasEnded(handle, within: .milliseconds(100)) { return nil }
        }
        return nil
    }

    private func hasEnded(_ handle: ProcessHandle, within limit: Duration) -> Bool {
        (try? waitReadable([handle.descriptor.raw], within: limit).contains(true)) ?? true
    }

    private func tell(_ kept: KeptEvents, _ control: String) {
        guard let last = try? LastEvents(kept.memory, ofType: kept.type), !last.isInOrder else { return }
        StandardError.print("mediated: The process of the device '\(kept.type)' has died. Its last events were:")
        for line in last.lines { StandardError.print("mediated:   \(line)") }
        let path = KeptEvents.path(besides: control)
        do throws(Errno) { try kept.write(to: path) } catch {
            return StandardError.print("mediated: They can't be written to '\(path)': \(error).")
        }
        let suffix = ".control"
        let socket = control.hasSuffix(suffix) ? "\(control.dropLast(suffix.count))" : "SOCKET --control \(control)"
        StandardError.print("mediated: All of them: mediated trace --recorded \(socket)")
    }
}
