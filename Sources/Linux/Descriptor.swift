import CLinux
import Glibc

/// The one owner of an open file descriptor: it is closed when the owner goes away.
public struct Descriptor: ~Copyable, Sendable {
    /// The number that system calls know it by. Valid as long as this value lives.
    public let raw: Int32

    /// Takes ownership of an open descriptor.
    public init(owning raw: Int32) {
        self.raw = raw
    }

    deinit {
        close(raw)
    }

    /// A second descriptor of the same open file. `F_DUPFD_CLOEXEC`
    public borrowing func duplicate() throws(Errno) -> Descriptor {
        let raw = raw
        return Descriptor(owning: try systemCall { fcntl(raw, F_DUPFD_CLOEXEC, 0) })
    }

    /// Makes reads and writes return EAGAIN instead of blocking, or block again. `O_NONBLOCK`
    public borrowing func setNonblocking(_ nonblocking: Bool) throws(Errno) {
        let raw = raw
        let flags = try systemCall { fcntl(raw, F_GETFL) }
        let wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
        if wanted != flags { try systemCall { fcntl(raw, F_SETFL, wanted) } }
    }

    /// Reads at most as many bytes as `buffer` holds. `read(2)`
    ///
    /// - Returns: the number of bytes read; 0 at end of file.
    public borrowing func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        let raw = raw
        return try systemCall { Glibc.read(raw, buffer.baseAddress, buffer.count) }
    }

    /// Writes some of `bytes`. `write(2)`
    ///
    /// - Returns: the number of bytes written.
    public borrowing func write(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int {
        let raw = raw
        return try systemCall { Glibc.write(raw, bytes.baseAddress, bytes.count) }
    }
}

/// Descriptors that arrived with a message, at most ``capacity``; whatever nobody takes is closed.
public struct ReceivedDescriptors: ~Copyable {
    /// The most descriptors that one message may carry. Announced as `max_msg_fds`.
    public static let capacity = 64

    private var raw = InlineArray<64, Int32>(repeating: -1)
    public private(set) var count = 0

    public init() {}

    deinit {
        for index in 0..<count where raw[index] >= 0 { close(raw[index]) }
    }

    /// Hands the descriptor at `index` to the caller; nil when there is none or it is taken.
    public mutating func take(_ index: Int) -> Descriptor? {
        guard index >= 0, index < count, raw[index] >= 0 else { return nil }
        defer { raw[index] = -1 }
        return Descriptor(owning: raw[index])
    }

    /// Closes what is left and forgets it.
    public mutating func removeAll() {
        for index in 0..<count where raw[index] >= 0 { close(raw[index]) }
        count = 0
    }

    /// Closes what is left, and takes ownership of the descriptors that a system call stores, which gets room for
    /// ``capacity`` of them and sets their number.
    mutating func replace<Result>(
        _ receive: (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int>) -> Result
    ) -> Result {
        if count > 0 { removeAll() }
        var number = 0
        defer { count = number }
        var span = raw.mutableSpan
        return span.withUnsafeMutableBufferPointer { receive($0.baseAddress!, &number) }
    }

    /// Takes ownership of one more.
    ///
    /// - Returns: false, and the descriptor is closed, when there is no room.
    @discardableResult
    public mutating func append(_ descriptor: consuming Descriptor) -> Bool {
        guard count < Self.capacity else { return false }
        raw[count] = descriptor.relinquish()
        count += 1
        return true
    }
}

extension Descriptor {
    /// Gives the bare number away, with the duty to close it.
    public consuming func relinquish() -> Int32 {
        let raw = raw
        discard self
        return raw
    }
}
