import Glibc
import Linux

/// The live view of `mediated top`. It has the terminal until a key or a signal ends it, and gives it back as it was.
///
/// Each lookout has a thread of its own, so that a process that hangs keeps neither the keys nor the other vGPUs
/// waiting. The screen is drawn when one of them has something new.
struct TopScreen {
    private let terminal: Terminal
    private let interval: Double
    private let news: EventFD
    private var watches: [Watch] = []
    private let ending, resizing, suspending, continuing: SignalFD
    private var order = TopColumn.vgpu

    /// - Parameter interval: between two looks, in seconds.
    /// - Throws: `.inappropriateIOCTLForDevice` when standard output is no terminal.
    init(interval: Double) throws(Errno) {
        terminal = try Terminal(STDOUT_FILENO)
        // Before there are threads: they must not be hit by what is blocked here.
        ending = try SignalFD([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        resizing = try SignalFD([SIGWINCH])
        suspending = try SignalFD([SIGTSTP])
        continuing = try SignalFD([SIGCONT])
        news = try EventFD()
        self.interval = interval
    }

    /// Shows what is seen, until a key or a signal ends it.
    mutating func run(_ lookouts: [Lookout]) throws(Errno) {
        watches = try lookouts.map { lookout throws(Errno) in
            try Watch(lookout, interval: interval, news: news)
        }
        try terminal.enter()
        defer { terminal.leave() }
        while true {
            try draw()
            let ready = try waitReadable(
                [
                    ending.descriptor.raw, terminal.descriptor.raw, suspending.descriptor.raw,
                    continuing.descriptor.raw, resizing.descriptor.raw, news.descriptor.raw,
                ], within: nil)
            if ready[0] { return }
            if ready[1], try press(terminal.keys()) == .end { return }
            if ready[2] { try suspend() }
            // Somebody else had the terminal, and may have left it in another mode.
            if ready[3] { try resume() }
            // The next picture asks for the size.
            if ready[4] { resizing.consume() }
            if ready[5] { news.consume() }
        }
    }

    private func draw() throws(Errno) {
        let table = TopTable(rows: watches.flatMap { $0.vgpus.map(TopRow.init) }, order: order)
        let (columns, lines) = terminal.size
        do throws(Errno) {
            try terminal.show(table.page(interval: interval, columns: columns, lines: lines))
        } catch .timedOut {
            // Nobody takes what is written. The next picture is a whole one again.
        } catch .ioError {
            // The terminal has gone, as asking for keys will tell.
        }
    }

    // MARK: Keys

    private enum Outcome { case goOn, end }

    /// - Parameter keys: nil when the terminal has gone.
    private mutating func press(_ keys: [UInt8]?) throws(Errno) -> Outcome {
        guard let keys else { return .end }
        for key in Self.plainKeys(keys) {
            switch key {
            case UInt8(ascii: "q"), Key.control("C"), Key.control("\\"): return .end
            case Key.control("Z"): try suspend()
            default:
                if let column = TopColumn.allCases.first(where: { $0.key.asciiValue == key }) { order = column }
            }
        }
        return .goOn
    }

    /// The keys that are one byte: without arrows, function keys and what is pressed together with Alt, each of which
    /// comes as an escape sequence. ECMA-48, 5.4
    static func plainKeys(_ bytes: [UInt8]) -> [UInt8] {
        var keys: [UInt8] = []
        var rest = bytes[...]
        while let byte = rest.popFirst() {
            guard byte == Key.escape else {
                keys.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "["): rest = rest.drop { !(0x40...0x7E).contains($0) }.dropFirst()
            case UInt8(ascii: "O"): rest = rest.dropFirst()
            default: break
            }
        }
        return keys
    }

    private enum Key {
        static let escape: UInt8 = 0x1B

        static func control(_ letter: Unicode.Scalar) -> UInt8 { UInt8(ascii: letter) & 0x1F }
    }

    /// Stops the process, as Ctrl-Z does where a program doesn't fill the screen. Returns when it goes on.
    private func suspend() throws(Errno) {
        suspending.consume()
        terminal.leave()
        kill(getpid(), SIGSTOP)
        try resume()
    }

    private func resume() throws(Errno) {
        continuing.consume()
        try terminal.enter()
    }

    // MARK: Observation

    /// Looks again and again.
    private final class Watch: Sendable {
        private let state: Locked<Lookout>

        init(_ lookout: Lookout, interval: Double, news: EventFD) throws(Errno) {
            state = Locked(lookout)
            _ = try Linux.Thread(name: "watch") { [self] in
                var lookout = lookout
                while true {
                    let next = Deadline(after: .seconds(interval))
                    lookout.look(within: Top.patience)
                    let seen = lookout
                    state.withLock { $0 = seen }
                    news.signal()
                    _ = try? waitReadable([], within: next.left)
                }
            }
        }

        var vgpus: [ObservedVGPU] { state.withLock { $0.vgpus } }
    }
}
