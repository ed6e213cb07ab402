import Glibc
import Linux
import Text

/// Lines on their way to standard output, or standard error, which a thread of their own writes. Whoever adds one never
/// waits: while a terminal is stopped, or nobody reads a pipe, what finds no room is dropped, and counted.
final class LineQueue: Sendable {
    private let stream: Int32
    private let state = Locked(State())
    private let bell: EventFD
    private let end: EventFD

    private struct State {
        var lines: [String] = []
        /// Bytes of ``lines``, and of those that are being written.
        var size = 0
        /// How many were dropped since that was told last.
        var dropped = 0
        var isClosed = false
    }

    /// How many bytes of lines may wait. A longer line finds room when no other waits.
    private static let capacity = 1 << 20

    /// - Parameter stream: the descriptor's number.
    init(to stream: Int32) throws(Errno) {
        self.stream = stream
        bell = try EventFD()
        end = try EventFD()
        _ = try Linux.Thread(name: "output") { [self] in
            while write() { _ = bell.wait(within: nil) }
            end.signal()
        }
    }

    func add(_ text: String) {
        let line = text.printable + "\n"
        let count = line.utf8.count
        state.withLock { state in
            guard state.size == 0 || state.size + count <= Self.capacity else {
                state.dropped += 1
                return
            }
            state.lines.append(line)
            state.size += count
        }
        bell.signal()
    }

    /// Takes no more lines, and waits until those are written that are there: a while, and no longer.
    ///
    /// - Returns: false when they aren't.
    func close(within limit: Duration?) -> Bool {
        state.withLock { $0.isClosed = true }
        bell.signal()
        return end.wait(within: limit) > 0
    }

    // MARK: The thread

    /// Writes what is there.
    ///
    /// - Returns: false when no more will come.
    private func write() -> Bool {
        while true {
            let (lines, dropped, isClosed) = state.withLock { state in
                defer { (state.lines, state.dropped) = ([], 0) }
                return (state.lines, state.dropped, state.isClosed)
            }
            for line in lines { write(line) }
            // Where they are missing.
            if dropped > 0 { write("… \(dropped) lines were dropped: the output takes too little.\n") }
            let size = lines.reduce(0) { $0 + $1.utf8.count }
            state.withLock { $0.size -= size }
            if lines.isEmpty { return !isClosed }
        }
    }

    /// Errors are ignored: there is nowhere to tell them.
    private func write(_ text: String) {
        var text = text
        text.withUTF8 { bytes in
            var bytes = UnsafeRawBufferPointer(bytes)
            while !bytes.isEmpty {
                let count = Glibc.write(stream, bytes.baseAddress, bytes.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(count))
            }
        }
    }
}
