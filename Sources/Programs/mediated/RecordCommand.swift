import ArgumentParser
import Control
import Glibc
import Linux
import Mediation
import Recording

/// `mediated record`
struct RecordCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record",
        abstract: "Record what passes between a guest and its device, until interrupted.",
        discussion: """
            The file is pcapng: each access, DMA transfer, interrupt and event with all its bytes, and the device's \
            state at the beginning, so that 'mediated replay' can live it again. Wireshark and tshark show it with the \
            dissector that comes with this package, or that --dissector prints.

            A recording holds what the guest typed and computed: only its owner may read it. Whatever happens to this \
            program or the disk, what was written can be read, and the device goes on.

            The device waits for a slow disk: at most 100 ms in an access, and at most 1 s in any 5 s. \
            With --no-lossless it never waits. What was lost is told at the end, and marked in the file.
            """)

    @Argument(
        help: "The vfio-user socket of a device process on this host, or the UUID of a vGPU that the daemon keeps.",
        completion: .file())
    var socket: String?

    @Argument(help: ArgumentHelp("The file to write, which is new.", valueName: "file.pcapng"), completion: .file())
    var file: String?

    @Option(help: "The process's control socket. [default: SOCKET.control]", completion: .file())
    var control: String?

    @OptionGroup var daemon: DaemonOptions

    @Option(help: "End after so many accesses, transfers, interrupts and events.")
    var count: Int?

    @Option(help: "End after so many seconds.")
    var seconds: Double?

    @Flag(inversion: .prefixedNo, help: "Have the device wait, rather than lose something.")
    var lossless = true

    @Flag(help: "A file that is there is replaced.")
    var replace = false

    @Flag(help: "Print the dissector for Wireshark, a script in Lua, and end.")
    var dissector = false

    func validate() throws {
        if dissector {
            guard socket == nil else { throw ValidationError("--dissector needs nothing else.") }
            return
        }
        guard let socket, file != nil else {
            throw ValidationError("Name the device's socket or UUID, and the file to write.")
        }
        guard control == nil || InstanceID(socket) == nil else {
            throw ValidationError("--control goes with a socket, not with a UUID.")
        }
        if let count, count < 1 { throw ValidationError("The count is \(count), but must be 1 or more.") }
        if let seconds, !(0.001...1e9).contains(seconds) {
            throw ValidationError("The seconds are \(seconds), but must be from 0.001 to 1e9.")
        }
    }

    func run() throws {
        guard !dissector, let file else { return Output.print(page: Dissector.text) }
        // Before anything is recorded: what was recorded until then is written.
        let signals = try SignalFD([SIGINT, SIGTERM])
        try target.withClient { client in
            // Where nothing can be recorded no file is made, and none replaced.
            let recording = try client.record(isLossless: lossless)
            let writer = try openRecording(file, replaces: replace)
            for part in recording.mapped {
                StandardError.print(
                    "mediated: BAR \(part.bar) from 0x\(String(part.start, radix: 16)) to "
                        + "0x\(String(part.end - 1, radix: 16)) may be mapped by the guest: of what it writes there, "
                        + "what the device sees of it is recorded, and what is there in the end.")
            }
            StandardError.print(
                "mediated: What passes '\(recording.type)' is recorded in '\(file)', what its guest types and computes "
                    + "included, until it is interrupted.")
            var output = RecordedFile(recording, writer, path: file)
            let end = Deadline(after: seconds.map { .seconds($0) })
            try output.copy(upTo: count) { end.hasPassed || signals.hasArrived }
            try output.finish()
        }
    }

    private var target: ControlOptions {
        var target = ControlOptions()
        target.socket = socket ?? ""
        target.control = control
        target.daemon = daemon
        return target
    }
}

extension SignalFD {
    fileprivate var hasArrived: Bool { (try? waitReadable([descriptor.raw], within: .zero)) == [true] }
}
