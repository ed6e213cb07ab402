import Linux

/// Passes what a launcher and its renderers write to their standard output and error on to this process's log: a few short lines, so
/// that a renderer which somebody has taken over fills no disk, and no line of it does anything to a terminal.
final class RendererLog {
    /// How many lines may come at once, besides one for each second, and how many bytes of each are kept.
    static let lineLimit = 64
    static let lengthLimit = 512
    /// How much is taken at a time, in bytes: more than a pipe holds.
    private static let mostAtOnce = 1 << 17

    private let reader: Descriptor
    private let clock: () -> UInt64
    private let write: (String) -> Void
    private let loop: EventLoop
    private var watch: EventLoop.Token?
    private var line: [UInt8] = []
    private var linesLeft = lineLimit
    /// Up to when lines were granted, in nanoseconds.
    private var granted: UInt64
    private var isLeavingOut = false

    /// - Parameters:
    ///   - reader: that of a pipe, which does not block.
    ///   - clock: the time in nanoseconds, from any moment on.
    ///   - write: takes each line.
    init(
        _ reader: consuming Descriptor, loop: EventLoop, clock: @escaping () -> UInt64 = { SystemClock.nanoseconds },
        write: @escaping (String) -> Void = StandardError.print
    ) throws(Errno) {
        self.reader = reader
        self.clock = clock
        granted = clock()
        self.loop = loop
        self.write = write
        watch = try loop.watch(self.reader, for: .readable) { [unowned self] events in
            drain()
            if events.contains(.hangUp) { close() }
        }
    }

    deinit { close() }

    private func close() {
        if let watch { loop.unwatch(watch) }
        watch = nil
    }

    /// Takes what was written.
    func drain() {
        var taken = 0
        var bytes = [UInt8](repeating: 0, count: 4096)
        while taken < Self.mostAtOnce {
            // SAFETY: the pointer is used during the call only, which writes no more than there is room for.
            let count = bytes.withUnsafeMutableBytes { (try? reader.read(into: $0)) ?? 0 }
            guard count > 0 else { return }
            taken += count
            for byte in bytes.prefix(count) { take(byte) }
        }
    }

    private func take(_ byte: UInt8) {
        guard byte != UInt8(ascii: "\n") else { return endLine() }
        // Only what ASCII can print: the rest may be anything to a terminal.
        if line.count < Self.lengthLimit { line.append((0x20...0x7e).contains(byte) ? byte : UInt8(ascii: "?")) }
    }

    private func endLine() {
        defer { line.removeAll(keepingCapacity: true) }
        grant()
        if linesLeft > 0 {
            linesLeft -= 1
            isLeavingOut = false
            write(String(decoding: line, as: UTF8.self))
        } else if !isLeavingOut {
            isLeavingOut = true
            write("mediated-renderer: Lines are left out from here on.")
        }
    }

    private func grant() {
        let seconds = (clock() &- granted) / 1_000_000_000
        granted &+= seconds * 1_000_000_000
        linesLeft = Int(min(UInt64(Self.lineLimit), UInt64(linesLeft) + seconds))
    }
}
