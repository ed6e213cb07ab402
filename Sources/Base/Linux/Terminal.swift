import Glibc
import Text

/// A terminal that a program fills as a whole, and gives back as it was: the screen that was there, the cursor, the
/// modes. `termios(3)`, `tty_ioctl(2)`; control sequences of xterm and ECMA-48
///
/// Reads and writes never block: a terminal that nobody looks at, or that is stopped, must not keep a process from
/// ending.
public final class Terminal {
    /// Readable when a key was pressed, or the terminal has gone.
    public let descriptor: Descriptor
    private let modes: termios
    private var isEntered = false

    /// - Parameter raw: a descriptor that leads to the terminal, such as standard output.
    /// - Throws: `.inappropriateIOCTLForDevice` when it leads elsewhere.
    public init(_ raw: Int32) throws(Errno) {
        var modes = termios()
        try systemCall { tcgetattr(raw, &modes) }
        self.modes = modes
        // Opened anew, for whoever started this process shares the flags of its own. Where that isn't allowed, as after
        // su(1), reads and writes go the old way, and may block.
        let path = "/proc/self/fd/\(raw)"
        if let own = try? systemCall({ open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) }) {
            descriptor = Descriptor(owning: own)
        } else {
            descriptor = Descriptor(owning: try systemCall { fcntl(raw, F_DUPFD_CLOEXEC, 0) })
        }
    }

    deinit {
        leave()
    }

    /// Clears a screen of its own, and has every key, also those that send signals, come as it is.
    public func enter() throws(Errno) {
        var modes = modes
        cfmakeraw(&modes)
        modes.c_oflag = self.modes.c_oflag
        let raw = descriptor.raw
        try systemCall { tcsetattr(raw, TCSANOW, &modes) }
        isEntered = true
        // The other screen, no cursor, and lines that are too long are cut off.
        try write("\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l\u{1B}[2J")
    }

    /// Undoes ``enter()``. Does nothing without it.
    public func leave() {
        guard isEntered else { return }
        isEntered = false
        try? write("\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l")
        var modes = modes
        tcsetattr(descriptor.raw, TCSANOW, &modes)
    }

    /// In characters; 80 by 24 when the terminal doesn't know.
    public var size: (columns: Int, lines: Int) {
        var size = winsize()
        guard ioctl(descriptor.raw, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Fills the screen with `lines`, from the top. What isn't printable in them is escaped.
    ///
    /// - Throws: `.timedOut` when the terminal takes nothing for a second; what the system refuses.
    public func show(_ lines: [String]) throws(Errno) {
        let ended = lines.map { $0.printable + "\u{1B}[K" }
        try write("\u{1B}[H" + ended.joined(separator: "\r\n") + "\u{1B}[J")
    }

    /// The bytes of the keys that were pressed; empty when there are none, nil when the terminal has gone.
    public func keys() -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 256)
        let raw = descriptor.raw
        do throws(Errno) {
            // SAFETY: the pointer is used during the call only.
            let count = try systemCall { bytes.withUnsafeMutableBytes { read(raw, $0.baseAddress, $0.count) } }
            return count == 0 ? nil : Array(bytes[..<count])
        } catch {
            return error == .resourceTemporarilyUnavailable ? [] : nil
        }
    }

    private func write(_ text: String) throws(Errno) {
        let bytes = Array(text.utf8)
        let deadline = Deadline(after: .seconds(1))
        var left = bytes.span.bytes
        while !left.isEmpty {
            do throws(Errno) {
                let count = try left.withUnsafeBytes { bytes throws(Errno) in try descriptor.write(bytes) }
                left = left.extracting(droppingFirst: count)
            } catch .resourceTemporarilyUnavailable {
                var entry = pollfd(fd: descriptor.raw, events: Int16(POLLOUT), revents: 0)
                let left = deadline.left
                guard try systemCall({ poll(&entry, 1, left.pollTimeout) }) > 0 else { throw .timedOut }
            }
        }
    }
}
