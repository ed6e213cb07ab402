import FakeGuest
import FuzzSupport
import Linux
import VFIO

/// Puts what the input says into a client's access ring, and commands into its ioregion: words of slots, positions,
/// packets.
final class AccessRingFuzzer: FuzzTarget {
    private let server: PlainServer
    private(set) var reach = Reach(Feature.allCases)

    enum Feature: CaseIterable {
        case readCarriedOut, writeCarriedOut, readRefused, writeRefused, entryRefused
        case ringKept, ringBroken, ioregionAnswered, ioregionClosed
    }

    init() throws {
        server = try PlainServer("exerciser")
    }

    func run(_ input: inout Input) throws {
        let client = try server.client()
        let session = try ClientSession(client, input, on: server.loop)
        let end = try server.serve()
        session.end()
        reach.note(end == .left ? .ringKept : .ringBroken)
        for feature in session.reached { reach.note(feature) }
    }
}

/// What the client does, whenever the server's thread has nothing else to do: from the version message to the end.
private final class ClientSession {
    private let client: RawClient
    private var input: Input
    private let loop: EventLoop
    /// Readable as long as there is something to do.
    private let turn: EventFD
    private var watch: EventLoop.Token?
    private var ring: RawRing?
    private var ioregion: UnixSocket?
    private let answer: PageBuffer
    /// What was last put into the ring.
    private var last: (number: UInt32, kind: UInt32)?
    private(set) var reached: Set<AccessRingFuzzer.Feature> = []

    /// How many a turn has unless a step ends it.
    private static let stepsPerTurn = 16
    /// As AccessRing.md numbers them.
    private enum Kind {
        static let read: UInt32 = 1
        static let write: UInt32 = 2
    }

    init(_ client: RawClient, _ input: Input, on loop: EventLoop) throws {
        (self.client, self.input, self.loop) = (client, input, loop)
        turn = try EventFD()
        turn.signal()
        answer = try PageBuffer(count: 4096)
        try client.send(.version, RawClient.version(RawRing.offer))
        watch = try loop.watch("turn", turn.descriptor, for: .readable) { [unowned self] _ in
            do {
                try takeTurn()
            } catch {
                // The server may end the session, or the ioregion.
                hangUp()
            }
        }
    }

    func end() {
        if let watch { loop.unwatch(watch) }
        watch = nil
    }

    private func hangUp() {
        end()
        client.end()
    }

    private func takeTurn() throws {
        guard let ring, ioregion != nil else { return try begin() }
        noteStatus(ring)
        for _ in 0..<Self.stepsPerTurn {
            guard !input.isEmpty else { return hangUp() }
            if try step(ring) { return }
        }
    }

    /// Takes what the server has sent so far.
    private func begin() throws {
        guard try client.socket.waitReadable(within: .zero) else { return }
        guard let reply = try client.receive() else { throw Errno.connectionReset }
        guard ring != nil else {
            ring = try RawRing(reply)
            try client.send(.deviceGetRegionIOFDs, wire(UInt32(4096), UInt32(0), UInt32(0), UInt32(0)))
            return
        }
        guard let end = reply.files.last else { fuzzFailed("The exerciser has no ioregion.") }
        ioregion = UnixSocket(owning: try end.descriptor.duplicate())
    }

    /// - Returns: whether it is the server's turn.
    private func step(_ ring: RawRing) throws -> Bool {
        let action = input.byte()
        switch action & 15 {
        case 0: ring.tail = UInt32(input.number(bytes: 4))
        case 1: ring.head = UInt32(input.number(bytes: 4))
        case 2: ring[UInt32(input.byte()), Int(action >> 4)] = UInt32(input.number(bytes: 4))
        case 3: try sendPacket(input.take(32))
        case 4, 5:
            let command = IORegionCommand(
                isWrite: action & 0x80 != 0, width: 1 << Int(action >> 4 & 3), wantsResponse: action & 0x40 != 0,
                userData: 0, offset: UInt64(input.byte()), data: input.number(bytes: 4))
            try sendPacket(wire(command.write))
        case 6: try takeAnswer()
        case 7, 8: return true
        case 9: try client.send(.deviceReset, flags: MessageHeader.Flags(rawValue: 0x10))
        case 10:
            // An entry as it need not be.
            put(ring, UInt32(action >> 4), UInt32(input.byte()), input.number(bytes: 8), UInt32(input.byte()))
        default:
            put(
                ring, action & 0x10 == 0 ? Kind.read : Kind.write, action & 0x80 == 0 ? 0 : UInt32(input.byte() & 7),
                UInt64(input.byte() & 0x7f), action & 0x40 == 0 ? 4 : 8)
        }
        return false
    }

    private func put(_ ring: RawRing, _ kind: UInt32, _ region: UInt32, _ offset: UInt64, _ count: UInt32) {
        last = (
            ring.put(kind: kind, region: region, offset: offset, count: count, data: UInt32(input.number(bytes: 2))),
            kind
        )
    }

    private func noteStatus(_ ring: RawRing) {
        guard let last, ring.head == last.number &+ 1 else { return }
        self.last = nil
        let isDone = ring[last.number, 5] == 0
        switch last.kind {
        case Kind.read: reached.insert(isDone ? .readCarriedOut : .readRefused)
        case Kind.write: reached.insert(isDone ? .writeCarriedOut : .writeRefused)
        default: reached.insert(.entryRefused)
        }
    }

    // MARK: The ioregion

    /// Where there is no room nobody waits.
    private func sendPacket(_ bytes: [UInt8]) throws {
        guard !bytes.isEmpty else { return }
        try? ioregion?.send(bytes.span.bytes, within: .zero)
    }

    private func takeAnswer() throws {
        var descriptors = ReceivedDescriptors()
        switch try ioregion?.receive(into: answer, from: 0, descriptors: &descriptors, blocking: false) {
        case .bytes: reached.insert(.ioregionAnswered)
        case .endOfFile: reached.insert(.ioregionClosed)
        default: break
        }
    }
}
