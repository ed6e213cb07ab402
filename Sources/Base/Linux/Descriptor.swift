import CLinux
import Glibc

/// The one owner of an open file descriptor: it is closed when the owner goes away.
public struct Descriptor: ~Copyable, Sendable {
    /// The number that system calls know it by. Valid as long as this value lives.
    public private(set) var raw: Int32
    /// Who closes it; nil: whoever drops it.
    let lane: ClosingLane?

    /// Takes ownership of an open descriptor.
    ///
    /// - Parameter lane: where it is closed, for one that a peer has sent or may send descriptors to.
    public init(owning raw: Int32, closedIn lane: ClosingLane? = nil) {
        self.raw = raw
        self.lane = lane
    }

    deinit {
        guard raw >= 0 else { return }
        if let lane { lane.close(raw) } else { close(raw) }
    }

    /// A second descriptor of the same open file. `F_DUPFD_CLOEXEC`
    public borrowing func duplicate() throws(Errno) -> Descriptor {
        let raw = raw
        return Descriptor(owning: try systemCall { fcntl(raw, F_DUPFD_CLOEXEC, 0) }, closedIn: lane)
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

/// Descriptors that arrived with a message, at most ``capacity``; whatever nobody takes is closed, in the lane of the
/// socket that they came by.
public struct ReceivedDescriptors: ~Copyable {
    /// The most descriptors that one message may carry. Announced as `max_msg_fds`.
    public static let capacity = 64
    /// The most that the kernel passes at once. A call that has less room leaves the rest to the kernel to close, on
    /// the thread that made the call. `SCM_MAX_FD`
    static let kernelMaximum = 253

    private var raw: [Int32] = []
    private var lane: ClosingLane?

    public var count: Int { raw.count }

    /// The numbers of those that nobody has taken. Valid as long as this value lives.
    public var numbers: [Int32] { raw.filter { $0 >= 0 } }

    public init() {}

    deinit {
        for raw in raw { _ = Descriptor(owning: raw, closedIn: lane) }
    }

    /// Hands the descriptor at `index` to the caller; nil when there is none or it is taken.
    public mutating func take(_ index: Int) -> Descriptor? {
        guard index >= 0, index < count, raw[index] >= 0 else { return nil }
        defer { raw[index] = -1 }
        return Descriptor(owning: raw[index], closedIn: lane)
    }

    /// Of which kinds those are that nobody has taken, for people: some of `memfd`, `eventfd`, `socket`, `file` and
    /// `other`, each once and in this order, with commas between them.
    public borrowing func kinds() -> String {
        var found: Set<Descriptor.Kind> = []
        for number in raw where number >= 0 {
            let descriptor = Descriptor(owning: number)
            found.insert(descriptor.kind())
            _ = descriptor.relinquish()
        }
        return Descriptor.Kind.allCases.filter(found.contains).map(\.rawValue).joined(separator: ",")
    }

    /// Closes what is left and forgets it.
    public mutating func removeAll() {
        for raw in raw { _ = Descriptor(owning: raw, closedIn: lane) }
        raw = []
    }

    /// Closes what is left, and takes ownership of these.
    ///
    /// - Returns: false when there were more than ``capacity``; the rest is closed.
    mutating func replace(with received: UnsafeBufferPointer<Int32>, closedIn lane: ClosingLane?) -> Bool {
        if !raw.isEmpty { removeAll() }
        if received.isEmpty { return true }
        self.lane = lane
        raw = Array(received.prefix(Self.capacity))
        for surplus in received.dropFirst(Self.capacity) { _ = Descriptor(owning: surplus, closedIn: lane) }
        return received.count <= Self.capacity
    }
}

extension Descriptor {
    /// Gives the bare number away, with the duty to close it.
    public consuming func relinquish() -> Int32 {
        defer { raw = -1 }
        return raw
    }

    /// The same descriptor, to be closed in another lane.
    public consuming func closed(in lane: ClosingLane) -> Descriptor {
        Descriptor(owning: relinquish(), closedIn: lane)
    }
}
