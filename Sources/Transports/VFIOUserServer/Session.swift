import Device
import GuestMemory
import Linux
import PCI
import VFIO
import VFIOUserWire

/// One client's connection: what was negotiated, its interrupts and memory, and the message in hand.
///
/// Every message is answered here. Each command's own rules are in the extensions beside this file.
final class Session {
    /// Why a session is over.
    enum End: Error, CustomStringConvertible {
        case stream(MessageStream.Failure)
        case sending(Errno)
        case refused(String)

        var description: String {
            switch self {
            case .stream(.endOfFile): "the client closed the connection"
            case .stream(let failure): "what it sent can't be read: \(failure)"
            case .sending(let error): "a reply could not be sent: \(error)"
            case .refused(let reason): reason
            }
        }
    }

    /// The longest message that is taken: the largest data transfer with its headers.
    static let maximumMessage = maximumTransfer + 4096
    /// Announced as `max_data_xfer_size`, in bytes.
    static let maximumTransfer = 1 << 20

    let stream: MessageStream
    /// What is served; another one of the same kind after ``take(_:)``.
    @exclusivity(unchecked) private(set) var function: Function
    /// The host's: it outlives the function.
    let loop: EventLoop
    let interrupts: InterruptTable
    let doorbells: DoorbellTable
    private(set) lazy var ioregions = IORegionTable(self)
    let dma: MessageDMA
    let configuration: Server.Configuration
    let replies: ReplySender

    // One thread, and no access to any of these lasts longer than a statement: checks at run time, several for
    // each message, would find nothing.
    @exclusivity(unchecked) var migration: Migration
    /// What the client can do; nil before its version message.
    @exclusivity(unchecked) var client: Capabilities?
    /// Called when the versions are agreed on.
    var onAgreement: () -> Void = {}
    /// Messages were left in the stream when the turn was over.
    @exclusivity(unchecked) private(set) var isBehind = false
    /// How many writes of the REGION_WRITE_MULTI in hand are carried out: it goes on in the next turn.
    @exclusivity(unchecked) var writesDone = 0
    /// How many bytes of the REGION_WRITE that is arriving, or in hand, are in the region's memory already.
    @exclusivity(unchecked) var written = 0
    /// The header of a command whose reply waits until the device lets go of memory.
    @exclusivity(unchecked) private var held: MessageHeader?
    /// The access in hand that is to wait before it is carried out, where somebody alters what passes.
    let parked = ParkedAccess()
    /// Whether there is any of these: no later command may overtake it.
    @exclusivity(unchecked) var isHeld = false
    @exclusivity(unchecked) var counters = Statistics()
    /// Region accesses by shared memory, if the client asked for it.
    @exclusivity(unchecked) var ring: RingConsumer?
    /// With a ring: what tells of the socket and the ring's doorbell, and whether something is there to receive.
    var socketWatch: EventLoop.Token?
    var ringWatch: EventLoop.Token?
    var hasArrivals = false
    @exclusivity(unchecked) var spin = SpinBudget()
    /// How many accesses the ring has had since all else was looked after.
    @exclusivity(unchecked) var ringAccesses = 0

    init(
        _ socket: consuming UnixSocket, function: Function, configuration: Server.Configuration
    ) throws(Errno) {
        stream = try MessageStream(socket, maximumMessage: Self.maximumMessage)
        replies = try ReplySender(stream)
        self.function = function
        loop = function.host.loop
        self.configuration = configuration
        function.updateMappedParts()
        interrupts = InterruptTable(
            counts: InterruptKind.allCases.map(function.interruptCount), interrupts: function.host.interrupts,
            loop: function.host.loop)
        doorbells = DoorbellTable(function)
        dma = try MessageDMA(
            stream, patience: configuration.patience, closedIn: function.host.loop.clientLane)
        migration = Migration(function)
        function.transport = interrupts
    }

    /// Whether another function may be made from this one: not from half a state that has come.
    var canTakeFunction: Bool { migration.state != .resuming }

    /// Goes on with a function that was made from the present one, over the same host. All that the client has set up
    /// stays.
    func take(_ function: Function) {
        self.function = function
        doorbells.function = function
        migration.function = function
    }

    /// Drops all that was the client's: its maps, eventfds and connection. The device keeps its state.
    func close() {
        loop.endReceiving()
        closeRing()
        parked.cancel()
        function.transport = nil
        interrupts.reset()
        doorbells.reset()
        ioregions.reset()
        dma.close()
        function.host.memory.dirtyLog.stop()
        function.host.memory.unmapAll()
        migration.abandon()
        function.updateMappedParts()
    }

    var statistics: Statistics {
        var all = counters
        all.interruptsByKind = interrupts.sent
        all.doorbells = doorbells.rung
        all.messageDMABytesRead = dma.bytesRead
        all.messageDMABytesWritten = dma.bytesWritten
        return all
    }

    // MARK: The loop

    /// For how long messages that have arrived together are answered before all else has its turn.
    static let turn = Duration.milliseconds(10)

    /// Receives once and answers what has arrived: all of it, unless that takes long.
    ///
    /// - Throws: the reason why the session is over.
    func serve(isPolling: Bool) throws(End) {
        dma.beginTurn()
        // Only the device's events go on.
        if isHeld { return try dispatchOnly() }
        if isBehind {
            do throws(Errno) { try loop.dispatch(within: .zero) } catch {
                throw .stream(.system(error))
            }
            return try goOn()
        }
        if let ring { return try serve(ring, isPolling: isPolling) }
        do throws(MessageStream.Failure) {
            try receive(isPolling: isPolling)
        } catch {
            throw .stream(error)
        }
        try answerAll()
    }

    /// Whether the client has closed its end.
    func isAbandoned() throws(Errno) -> Bool {
        try stream.socket.isHungUp()
    }

    private func dispatchOnly() throws(End) {
        do throws(Errno) {
            // Nothing is received, but a client that leaves must be noticed.
            if let socketWatch {
                try loop.change(socketWatch, to: [])
                defer { try? loop.change(socketWatch, to: .readable) }
                try loop.dispatch(within: nil)
            } else {
                loop.endReceiving()
                let token = try loop.watch("client's end", stream.socket.descriptor, for: []) { _ in }
                defer { loop.unwatch(token) }
                try loop.dispatch(within: nil)
            }
            if isHeld, try isAbandoned() { throw Errno.connectionReset }
        } catch {
            throw .stream(error == .connectionReset ? .endOfFile : .system(error))
        }
        if !isHeld { try goOn() }
    }

    func answerAll() throws(End) {
        var end: Deadline?
        isBehind = false
        while !isHeld {
            if let end, end.hasPassed {
                isBehind = true
                return
            }
            guard let message = try nextMessage() else { return }
            // The clock is read only where messages have come together.
            if end == nil, stream.hasMore(behind: message) { end = Deadline(after: Self.turn) }
            dma.beginTurn()
            if ring != nil, try !carryOutRingFirst() { return }
            guard try answer(message) else {
                isBehind = !isHeld
                return
            }
            stream.consume(message)
        }
    }

    private func nextMessage() throws(End) -> MessageStream.Message? {
        do throws(MessageStream.Failure) {
            return try stream.next()
        } catch {
            // Where the next message begins can't be known any more: say why, and part.
            if case .messageSize(let header, _) = error {
                try? replies.send(.invalidArgument, to: header, within: dma.timeLeft)
            }
            throw .stream(error)
        }
    }

    /// - Returns: whether it is done with; one that takes long goes on when all else has had its turn.
    private func answer(_ message: MessageStream.Message) throws(End) -> Bool {
        let header = message.header
        // A reply that nobody waits for any more: its DMA access has failed already.
        if header.type == .reply { return true }
        let isNew = writesDone == 0
        if isNew { counters.messages &+= 1 }
        let start = isNew && Self.isAccess(header.command) ? counters.latency.begin() : nil
        defer { counters.latency.end(start) }
        do {
            switch try carryOut(message, from: writesDone) {
            case .reply(let reply):
                guard !header.flags.contains(.noReply) else { break }
                try replies.send(reply, to: header, within: dma.timeLeft)
            case .held: (held, isHeld) = (header, true)
            case .unfinished(let writesDone):
                self.writesDone = writesDone
                return false
            case .parked: return false
            }
        } catch let end as End {
            throw end
        } catch {
            counters.errors &+= 1
            if !header.flags.contains(.noReply) {
                try replies.send(Self.errno(for: error), to: header, within: dma.timeLeft)
            }
            if client == nil { throw .refused("the versions could not be agreed on: \(error)") }
        }
        writesDone = 0
        written = 0
        return true
    }

    private static func isAccess(_ command: UInt16) -> Bool {
        command == Command.regionRead.rawValue || command == Command.regionWrite.rawValue
            || command == Command.regionWriteMulti.rawValue
    }

    /// Sends the reply that was held back.
    ///
    /// - Parameter makeReply: called when somebody waits for it.
    func release(_ makeReply: () -> Reply) {
        guard let header = held else { return }
        (held, isHeld) = (nil, false)
        let reply = makeReply()
        if !header.flags.contains(.noReply) {
            // A client that can't be reached is noticed at the next receive.
            try? replies.send(reply, to: header, within: dma.timeLeft)
        }
        loop.wake()
    }
}
