import Glibc
import Linux
import SharedRing

/// Why a worker ends that was not told to.
public enum WorkerEnd: Error {
    /// What the device process asks is wrong.
    case violation(RingViolation)
    case system(Errno)
}

extension WorkerEnd: CustomStringConvertible {
    public var description: String {
        switch self {
        case .violation(let violation): "\(violation)"
        case .system(let error): "\(error)"
        }
    }
}

/// The worker's end of a session.
public struct WorkerEndpoint<Command: WorkerMessage, Reply: WorkerMessage>: ~Copyable {
    /// What a worker is to do next.
    enum Request {
        case command(Command)
        /// The library must forget what lies in the window; then ``finishUnmap(of:_:)``.
        case unmap(window: UInt32)
    }

    let socket: UnixSocket
    /// The memory that the device process shares.
    var windows = WorkerWindows()
    private(set) var commands: MessageConsumer
    private(set) var replies: MessageProducer

    /// Waits for the first packet.
    ///
    /// - Throws: `.protocolError` when it isn't what it must be.
    public init(_ socket: consuming UnixSocket) throws(Errno) {
        var descriptors = ReceivedDescriptors()
        guard try WorkerLink.receive(from: socket, &descriptors, blocking: true)?.kind == WorkerLink.hello,
            let commandMemory = descriptors.take(0), let replyMemory = descriptors.take(1),
            let commandDoorbell = descriptors.take(2), let replyDoorbell = descriptors.take(3)
        else { throw .protocolError }
        let commandRing = try MessageRing(adopting: commandMemory, capacity: WorkerLink.commandCapacity)
        let replyRing = try MessageRing(adopting: replyMemory, capacity: WorkerLink.replyCapacity)
        let commandBell = try EventFD(adopting: commandDoorbell)
        let replyBell = try EventFD(adopting: replyDoorbell)
        self.socket = socket
        commands = MessageConsumer(commandRing, doorbell: commandBell)
        replies = MessageProducer(replyRing, doorbell: replyBell)
    }

    /// Takes what is to be done next; nil when nothing waits.
    mutating func next() throws(WorkerEnd) -> (sequence: UInt64, request: Request)? {
        while true {
            let header: MessageConsumer.Header
            do throws(RingViolation) {
                guard let next = try commands.next() else { return nil }
                header = next
            } catch {
                throw .violation(error)
            }
            if let command = commands.read(Command.self, header) { return (header.sequence, .command(command)) }
            switch commands.read(WindowCommand.self, header) {
            case .map(let window, let offset, let size):
                do throws(Errno) { try map(window, offset, size) } catch { throw .system(error) }
                try put(WindowReply(), header.sequence)
            case .unmap(let window): return (header.sequence, .unmap(window: window))
            case nil: throw .violation(RingViolation("message \(header.kind) is no command"))
            }
        }
    }

    /// Answers a command.
    mutating func answer(_ sequence: UInt64, _ reply: Reply) throws(WorkerEnd) {
        try put(reply, sequence)
    }

    /// Unmaps a window that the library has forgotten.
    mutating func finishUnmap(of window: UInt32, _ sequence: UInt64) throws(WorkerEnd) {
        windows.remove(window)
        try put(WindowReply(), sequence)
    }

    private mutating func put(_ message: some WorkerMessage, _ sequence: UInt64) throws(WorkerEnd) {
        // A device process that leaves answers lying until there is no room has stopped; nobody waits for this one.
        do throws(RingViolation) { _ = try replies.put(message, sequence: sequence) } catch { throw .violation(error) }
    }

    private mutating func map(_ window: UInt32, _ offset: UInt64, _ size: UInt64) throws(Errno) {
        var descriptors = ReceivedDescriptors()
        // It was sent before the command was.
        guard try WorkerLink.receive(from: socket, &descriptors, blocking: false)?.kind == WorkerLink.memory,
            let memory = descriptors.take(0)
        else { throw .protocolError }
        try windows.add(window, memory, offset, size)
    }

    /// Waits for a command, and for whatever else there is.
    ///
    /// - Returns: false when the device process has gone.
    mutating func wait(for others: WorkerWait) throws(WorkerEnd) -> Bool {
        do throws(RingViolation) {
            guard try commands.prepareToSleep() else { return true }
        } catch {
            throw .violation(error)
        }
        defer { commands.wakeUp() }
        var entries = [
            pollfd(fd: commands.doorbell.event.descriptor.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: socket.descriptor.raw, events: 0, revents: 0),
        ]
        var timeout: Int32 = -1
        switch others {
        case .commands: break
        case .descriptor(let descriptor): entries.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
        case .period(let period): timeout = period.inMilliseconds
        }
        while poll(&entries, nfds_t(entries.count), timeout) < 0 {
            guard errno == EINTR else { throw .system(Errno(rawValue: errno)) }
        }
        return entries[1].revents & Int16(POLLHUP) == 0
    }
}
