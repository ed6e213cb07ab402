import ArgumentParser
import Device
import DeviceCatalog
import Glibc
import Linux
import Recording
import Replay
import Tap
import Trace

/// `mediated replay`
struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Live a recording again on a fresh device, and compare all that it does.",
        discussion: """
            The device is made as the recording says and put into the recorded state. Then it gets the recorded inputs in \
            their order and at their recorded time, without a guest, and without waiting. Every byte that it answers, \
            writes to guest memory or sends, every interrupt, and the pictures at the end are compared with what was recorded. \
            The first difference is shown with the ten events before it, and the exit status is 65.

            Nothing of the recorded world is touched: a serial line's socket isn't made, and guest memory isn't needed.

            With --as-device there is no device, but a real client: what it asks must be what was asked, and it gets the \
            recorded answers, interrupts, and DMA.
            """)

    @Argument(help: "What 'mediated record' has written.", completion: .file(extensions: ["pcapng"]))
    var file: String

    @Option(
        name: [.short, .long],
        help: ArgumentHelp(
            "An option of the device, in the place of the recorded one; may be repeated.", valueName: "key=value"))
    var option: [String] = []

    @Option(help: ArgumentHelp("Stop before the event of this number.", valueName: "number"))
    var until: UInt64?

    @Option(
        help: ArgumentHelp("Write the device's state at the end, for 'mediated run --state'.", valueName: "file"),
        completion: .file())
    var save: String?

    @Option(
        help: ArgumentHelp(
            "Play the device's part at this socket, to one client that does what the recorded one did.",
            valueName: "socket"), completion: .file())
    var asDevice: String?

    func validate() throws {
        guard asDevice == nil || until == nil && save == nil else {
            throw ValidationError(
                "--as-device makes no device that could be stopped or saved: leave --until and --save out.")
        }
        for option in option where !option.contains("=") {
            throw ValidationError("The option is '\(option)', but must be KEY=VALUE.")
        }
    }

    func run() throws {
        let reader: RecordingReader
        do throws(RecordingError) { reader = try RecordingReader(path: file) } catch { throw failure(error) }
        do {
            if let asDevice { return try playDevice(at: asDevice, reader) }
            let replay = try Replay(options: option) { try reader.next() }
            let progress = Progress()
            let outcome = try replay.run(until: until ?? .max, progress: progress.tell)
            progress.end()
            if let divergence = outcome.divergence {
                show(divergence, ofType: replay.description.type, came: "replayed")
                throw Failure(.badState, "The device did something else than the recorded one.")
            }
            Output.print(summary(outcome, isCutOff: reader.isCutOff))
            if let save { try write(replay, to: save) }
        } catch let error as RecordingError {
            throw failure(error)
        } catch let error as ReplayError {
            throw Failure(.protocol, "'\(file)' can't be replayed: \(error)")
        } catch let error as OptionError {
            throw Failure(.usage, error.description)
        } catch let error as StateError {
            throw Failure(.badState, "The state in '\(file)' can't be restored. \(error)")
        } catch let error as QuotaError {
            throw Failure(.badState, "The limits in '\(file)' don't fit the device. \(error)")
        } catch let error as Failure {
            throw error
        } catch {
            throw Failure(.badState, "The device of '\(file)' can't be made here: \(error)")
        }
    }

    private func failure(_ error: RecordingError) -> Failure {
        if case .system(let errno) = error { return Failure(errno, cannot: "read", file, otherwise: .noInput) }
        return Failure(.protocol, "'\(file)' can't be read: \(error)")
    }

    private func summary(_ outcome: ReplayOutcome, isCutOff: Bool) -> [String] {
        var parts = ["\(outcome.passages) events were the same."]
        switch outcome.pictures {
        case 0: break
        case 1: parts.append("1 picture was the same, pixel for pixel.")
        default: parts.append("\(outcome.pictures) pictures were the same, pixel for pixel.")
        }
        if outcome.gaps > 0 { parts.append("\(outcome.gaps) times some were lost; it went on from a fresh state.") }
        if !outcome.isComplete, until == nil {
            parts.append(isCutOff ? "The recording is cut off." : "The recording was not ended in good order.")
        }
        return [parts.joined(separator: " ")]
    }

    /// - Parameter word: what is said of what came, as wide as "recorded".
    func show(_ divergence: Divergence, ofType type: String, came word: String) {
        func line(_ record: Record?) -> String { record.flatMap { self.line($0, ofType: type) } ?? "nothing" }
        if let reason = divergence.reason { Output.print(reason) }
        if let expected = divergence.expected, expected.event != nil {
            Output.print("Event \(expected.number) was recorded, and another came:")
            Output.print("  recorded  \(line(expected))")
        }
        if divergence.expected?.event != nil || divergence.actual != nil {
            Output.print("  \(word)  \(line(divergence.actual))")
        }
        if let place = divergence.place { Output.print("  They differ from byte \(place) on.") }
        guard !divergence.before.isEmpty else { return }
        Output.print("Before it:")
        for record in divergence.before { Output.print("  \(line(record))") }
    }

    /// nil for what is no passage.
    func line(_ record: Record, ofType type: String) -> String? {
        let registers = DeviceCatalog.types.first { $0.name == type }?.registers ?? []
        return record.event.map(EventText(RegisterNames(registers), clock: 0).line)
    }

    private func write(_ replay: Replay, to path: String) throws {
        do {
            let file = try FileReplacement(path: path)
            try replay.state { try file.descriptor.writeAll($0) }
            try file.commit()
        } catch let error as Errno {
            throw Failure(error, cannot: "write the state to", path, otherwise: .cannotCreate)
        }
    }
}

extension Divergence {
    /// The first byte that is another, where both have bytes that are more than a line shows.
    fileprivate var place: Int? {
        guard let expected, let actual, expected.bytes.count > 8, expected.kind == actual.kind else { return nil }
        return zip(0..., zip(expected.bytes, actual.bytes)).first { $0.1.0 != $0.1.1 }?.0
    }
}

/// Tells a terminal now and then how far a long replay is.
private final class Progress {
    private var next = SystemClock.nanoseconds + 2_000_000_000
    private let isShown = isatty(STDERR_FILENO) == 1
    private var hasShown = false

    func tell(_ number: UInt64) {
        guard isShown, SystemClock.nanoseconds >= next else { return }
        next = SystemClock.nanoseconds + 500_000_000
        hasShown = true
        say("\r\(number) events")
    }

    func end() {
        if hasShown { say("\n") }
    }

    private func say(_ text: String) {
        let bytes = Array(text.utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}
