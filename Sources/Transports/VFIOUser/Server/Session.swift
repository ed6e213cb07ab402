import Device
import GuestMemory
import Linux
import VFIO

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
    let function: Function
    let interrupts: InterruptTable
    let doorbells: DoorbellTable
    private(set) lazy var ioregions = IORegionTable(self)
    let dma: MessageDMA
    let configuration: Server.Configuration
    private let replyBuffer: PageBuffer

    // One thread, and no access to any of these lasts longer than a statement: checks at run time, several for
    // each message, would find nothing.
    @exclusivity(unchecked) var migration: Migration
    /// What the client can do; nil before its version message.
    @exclusivity(unchecked) var client: Capabilities?
    /// Called when the versions are agreed on.
    var onAgreement: () -> Void = {}
    /// Descriptors to go with the reply that is being made.
    @exclusivity(unchecked) var replyDescriptors: [Int32] = []
    /// How many descriptors went with replies since the client had received all.
    @exclusivity(unchecked) private var untakenDescriptors = 0
    /// Memory to follow the payload of the reply that is being made.
    @exclusivity(unchecked) private var replyMemory: ReplyMemory?
    /// Messages were left in the stream when the turn was over.
    @exclusivity(unchecked) private var isBehind = false
    /// How many writes of the REGION_WRITE_MULTI in hand are carried out: it goes on in the next turn.
    @exclusivity(unchecked) private var writesDone = 0
    /// The header of a command whose reply waits until the device lets go of memory.
    @exclusivity(unchecked) private var held: MessageHeader?
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
        replyBuffer = try PageBuffer(count: Self.maximumMessage)
        self.function = function
        self.configuration = configuration
        function.updateMappedParts()
        interrupts = InterruptTable(
            counts: InterruptKind.allCases.map(function.interruptCount), interrupts: function.host.interrupts,
            loop: function.host.loop)
        doorbells = DoorbellTable(function)
        dma = try MessageDMA(
            stream, patience: configuration.patience, closedIn: function.host.loop.clientLane)
        migration = Migration(function)
        function.host.interrupts.sink = interrupts
    }

    /// Drops all that was the client's: its maps, eventfds and connection. The device keeps its state.
    func close() {
        function.host.loop.endReceiving()
        closeRing()
        function.host.interrupts.sink = nil
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

    /// For how long messages that have arrived together are answered before all else has its turn, in milliseconds.
    private static let turn: Int32 = 10

    /// Receives once and answers what has arrived: all of it, unless that takes long.
    ///
    /// - Throws: the reason why the session is over.
    func serve(isPolling: Bool) throws(End) {
        dma.beginTurn()
        // While a reply is held back no later command may overtake it: only the device's events go on.
        if held != nil { return try dispatchOnly() }
        if isBehind {
            do throws(Errno) { try function.host.loop.dispatch(milliseconds: 0) } catch {
                throw .stream(.system(error))
            }
            return try answerAll()
        }
        if let ring { return try serve(ring, isPolling: isPolling) }
        do throws(MessageStream.Failure) {
            try stream.fill(in: function.host.loop, isPolling: isPolling)
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
        let loop = function.host.loop
        do throws(Errno) {
            // Nothing is received, but a client that leaves must be noticed.
            if let socketWatch {
                try loop.change(socketWatch, to: [])
                defer { try? loop.change(socketWatch, to: .readable) }
                try loop.dispatch(milliseconds: -1)
            } else {
                loop.endReceiving()
                let token = try loop.watch("client's end", stream.socket.descriptor, for: []) { _ in }
                defer { loop.unwatch(token) }
                try loop.dispatch(milliseconds: -1)
            }
            if held != nil, try isAbandoned() { throw Errno.connectionReset }
        } catch {
            throw .stream(error == .connectionReset ? .endOfFile : .system(error))
        }
        if held == nil { try answerAll() }
    }

    func answerAll() throws(End) {
        var end: Deadline?
        isBehind = false
        while held == nil {
            if let end, end.millisecondsLeft == 0 {
                isBehind = true
                return
            }
            guard let message = try nextMessage() else { return }
            // The clock is read only where messages have come together.
            if end == nil, stream.hasMore(behind: message) { end = Deadline(milliseconds: Self.turn) }
            dma.beginTurn()
            // What the client put into its ring before it sent the message comes before the message, and what it puts there
            // while the message is carried out comes after it.
            if writesDone == 0 { try carryOutRing() }
            guard try answer(message) else {
                isBehind = true
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
                try? send(header.reply(error: Errno.invalidArgument.rawValue), payload: 0)
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
            switch try carryOut(message) {
            case .reply(let payload):
                guard !header.flags.contains(.noReply) else { break }
                if !replyDescriptors.isEmpty { try countDescriptors() }
                let whole = payload + (replyMemory?.count ?? 0)
                try send(header.reply(payload: whole), payload: payload)
            case .held: held = header
            case .unfinished: return false
            }
        } catch let end as End {
            throw end
        } catch {
            counters.errors &+= 1
            writesDone = 0
            let errno = Self.errno(for: error)
            if !header.flags.contains(.noReply) {
                replyDescriptors = []
                replyMemory = nil
                try send(header.reply(error: errno.rawValue), payload: 0)
            }
            if client == nil { throw .refused("the versions could not be agreed on: \(error)") }
        }
        replyDescriptors = []
        replyMemory = nil
        return true
    }

    /// - Throws: ETOOMANYREFS when the client leaves too many descriptors in its socket.
    private func countDescriptors() throws(Errno) {
        if try !stream.socket.hasUnread() { untakenDescriptors = 0 }
        guard replyDescriptors.count <= Untaken.maximumDescriptors - untakenDescriptors else {
            throw .tooManyReferences
        }
        untakenDescriptors += replyDescriptors.count
    }

    private static func isAccess(_ command: UInt16) -> Bool {
        command == Command.regionRead.rawValue || command == Command.regionWrite.rawValue
            || command == Command.regionWriteMulti.rawValue
    }

    static func errno(for error: any Error) -> Errno {
        (error as? any Refusal)?.errno ?? .ioError
    }

    /// Bytes that need no copy in the reply's buffer.
    private struct ReplyMemory {
        let file: MemoryFile
        let offset: Int
        let count: Int
        /// From so many bytes on, the copy that is saved costs more than the second piece of the message.
        static let least = 16 << 10
    }

    /// Sends a reply whose payload stands in ``payloadBytes()``, with what is to follow it.
    private func send(_ header: MessageHeader, payload: Int) throws(End) {
        let size = MessageHeader.size + payload
        let patience = dma.millisecondsLeft
        var bytes = replyBuffer.mutableBytes(0..<MessageHeader.size)
        header.write(into: &bytes)
        do throws(Errno) {
            if let memory = replyMemory {
                try stream.socket.send(
                    replyBuffer.bytes(0..<size), memory.file, at: memory.offset, count: memory.count,
                    milliseconds: patience)
            } else {
                try stream.socket.send(
                    replyBuffer.bytes(0..<size), descriptors: replyDescriptors, milliseconds: patience)
            }
        } catch {
            // Also when the reply was held back, and nobody hears of the error.
            stream.socket.shutDown()
            throw .sending(error)
        }
    }

    /// Where a command puts the payload of its reply.
    @_lifetime(borrow self)
    func payloadBytes() -> MutableRawSpan {
        replyBuffer.mutableBytes(MessageHeader.size..<replyBuffer.count)
    }

    /// Sends the reply that was held back.
    ///
    /// - Parameter makePayload: puts it into ``payloadBytes()``.
    func release(_ makePayload: () -> Int) {
        guard let header = held else { return }
        held = nil
        let payload = makePayload()
        if !header.flags.contains(.noReply) {
            // A client that can't be reached is noticed at the next receive.
            try? send(header.reply(payload: payload), payload: payload)
        }
        function.host.loop.wake()
    }

    // MARK: Commands

    /// How a command ended that was not refused.
    enum Outcome {
        /// So many bytes of payload are ready in ``payloadBytes()``.
        case reply(payload: Int)
        /// ``release(_:)`` will come.
        case held
        /// The command is to be carried out further when all else has had its turn.
        case unfinished
    }

    private func carryOut(_ message: MessageStream.Message) throws -> Outcome {
        let header = message.header
        guard header.type == .command else { throw Errno.invalidArgument }
        guard let command = Command(rawValue: header.command) else { throw Errno.inappropriateIOCTLForDevice }
        guard client != nil || command == .version else { throw Errno.invalidArgument }
        if stream.lacksDescriptors(message) { throw Errno.tooManyOpenFiles }
        guard command == .dmaMap || command == .deviceSetIRQs || !stream.hasDescriptors(message) else {
            throw Errno.invalidArgument
        }
        let payload = stream.payload(of: message)
        switch command {
        case .regionRead: return .reply(payload: try readRegion(payload))
        case .regionWrite: return .reply(payload: try writeRegion(payload))
        case .version: return .reply(payload: try negotiate(payload))
        case .dmaMap: return .reply(payload: try map(payload, stream.takeDescriptors(of: message)))
        case .dmaUnmap: return try unmap(payload)
        case .deviceGetInfo: return .reply(payload: try deviceInfo(payload))
        case .deviceGetRegionInfo: return .reply(payload: try regionInfo(payload))
        case .deviceGetRegionIOFDs: return .reply(payload: try regionIOFDs(payload))
        case .deviceGetIRQInfo: return .reply(payload: try irqInfo(payload))
        case .deviceSetIRQs: return .reply(payload: try setIRQs(payload, stream.takeDescriptors(of: message)))
        case .deviceReset: return .reply(payload: try reset(payload))
        case .regionWriteMulti: return try writeMultiple(payload)
        case .deviceFeature: return .reply(payload: try feature(payload))
        case .migrationDataRead: return .reply(payload: try readMigrationData(payload))
        case .migrationDataWrite: return .reply(payload: try writeMigrationData(payload))
        // The server asks these, it isn't asked.
        case .dmaRead, .dmaWrite: throw Errno.invalidArgument
        }
    }

    private func readRegion(_ payload: RawSpan) throws -> Int {
        let access = try RegionAccess(read: payload)
        guard access.count <= UInt32(Self.maximumTransfer) else { throw Errno.invalidArgument }
        var reply = payloadBytes()
        access.write(into: &reply)
        let (region, count) = (Int(access.region), Int(access.count))
        if count >= ReplyMemory.least,
            let file = function.memory(region: region, offset: access.offset, count: count)
        {
            counters.reads[region] &+= 1
            replyMemory = ReplyMemory(file: file, offset: Int(access.offset), count: count)
            return RegionAccess.size
        }
        let end = RegionAccess.size + Int(access.count)
        var data = reply._mutatingExtracting(RegionAccess.size..<end)
        try read(region: Int(access.region), offset: access.offset, into: &data)
        return end
    }

    private func writeRegion(_ payload: RawSpan) throws -> Int {
        let access = try RegionAccess(withData: payload)
        guard access.count <= UInt32(Self.maximumTransfer) else { throw Errno.invalidArgument }
        try write(
            region: Int(access.region), offset: access.offset, payload.extracting(droppingFirst: RegionAccess.size))
        var reply = payloadBytes()
        return access.write(into: &reply)
    }

    func read(region: Int, offset: UInt64, into data: inout MutableRawSpan) throws {
        try function.read(region: region, offset: offset, into: &data)
        counters.reads[region] &+= 1
    }

    func write(region: Int, offset: UInt64, _ data: RawSpan) throws {
        try function.write(region: region, offset: offset, from: data)
        counters.writes[region] &+= 1
    }

    /// After how many writes of a message it is looked whether the turn is over.
    private static let writesBetweenLooks = 8

    /// Carries out the writes in their order; the first that fails ends it.
    private func writeMultiple(_ payload: RawSpan) throws -> Outcome {
        guard client?.writeMultiple == true else { throw Errno.inappropriateIOCTLForDevice }
        let count = try SmallRegionWrite.count(payload)
        let first = writesDone
        let end = Deadline(milliseconds: Self.turn)
        for number in first..<count {
            if number > first, number % Self.writesBetweenLooks == 0, end.millisecondsLeft == 0 {
                writesDone = number
                return .unfinished
            }
            let item = try SmallRegionWrite(number: number, of: payload)
            let start = SmallRegionWrite.dataOffset(number: number)
            try write(
                region: Int(item.region), offset: item.offset, payload.extracting(start..<start + Int(item.count)))
        }
        writesDone = 0
        var reply = payloadBytes()
        reply.storeBytes(of: UInt64(count), toByteOffset: 0, as: UInt64.self)
        return .reply(payload: 8)
    }
}
