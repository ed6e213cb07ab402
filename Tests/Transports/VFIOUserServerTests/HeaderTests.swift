import FakeGuest
import Linux
import Testing
import VFIO

/// What holds for the header of any message.
@Suite struct HeaderTests {
    private let bench: Bench
    private var client: RawClient { bench.client }

    init() throws {
        bench = try Bench()
    }

    private let info = wire(UInt32(16), UInt32(0), UInt32(0), UInt32(0))

    @Test(arguments: [0, 1, 0x7fff, 0xffff] as [UInt16])
    func theMessageIDIsEchoed(_ id: UInt16) throws {
        try client.send(message(.deviceGetInfo, id: id, info))
        let reply = try #require(try client.receive())
        #expect(reply.header.id == id)
        #expect(reply.header.command == Command.deviceGetInfo.rawValue)
        #expect(reply.header.flags == .reply)
        #expect(reply.header.error == 0)
        try client.send(message(.deviceGetInfo, id: id, []))
        let refusal = try #require(try client.receive())
        #expect(refusal.header.id == id)
        #expect(refusal.header.flags == [.reply, .error])
    }

    @Test(arguments: [0, 14, 19, 0xffff] as [UInt16])
    func anUnknownCommandIsRefused(_ command: UInt16) throws {
        try client.send(message(command: command, id: 5, [1, 2, 3]))
        let reply = try #require(try client.receive())
        #expect(reply.errno == .inappropriateIOCTLForDevice)
        #expect(reply.header.command == command && reply.header.id == 5)
        try bench.expectAlive()
    }

    @Test(arguments: [Command.dmaRead, .dmaWrite])
    func theServersOwnCommandsAreRefused(_ command: Command) throws {
        try bench.expectRefusal(.invalidArgument, of: command, wire(UInt64(0), UInt64(0)))
    }

    @Test(arguments: 2...15 as ClosedRange<UInt32>)
    func aTypeThatIsNeitherCommandNorReplyIsRefused(_ type: UInt32) throws {
        try client.send(message(command: Command.deviceGetInfo.rawValue, id: 9, info, flags: type))
        let reply = try #require(try client.receive())
        #expect(reply.errno == .invalidArgument)
        #expect(reply.header.type == .reply && reply.header.id == 9)
        try bench.expectAlive()
    }

    @Test func aReplyThatNobodyAskedForIsDropped() throws {
        try client.send(message(.deviceGetInfo, id: 3, info, flags: .reply))
        try client.send(message(.dmaRead, id: 3, info, flags: [.reply, .error]))
        try bench.expectAlive()
    }

    @Test func theErrorFieldOfACommandIsIgnored() throws {
        try client.send(message(.deviceGetInfo, info).replacing(at: 12, with: UInt32(22)))
        #expect(try client.receive()?.errno == nil)
    }

    @Test(arguments: Command.allCases)
    func aWrongCommandThatWantsNoReplyGetsNone(_ command: Command) throws {
        try bench.post(command, [1])
    }

    @Test(arguments: [0, 15, (1 << 20) + 4097, 0x7fff_ffff, 0xffff_ffff] as [UInt32])
    func anImpossibleSizeIsAnsweredAndEndsTheSession(_ size: UInt32) throws {
        try client.send(message(.deviceGetInfo, id: 77, info, size: size))
        let reply = try #require(try client.receive())
        #expect(reply.errno == .invalidArgument)
        #expect(reply.header.id == 77 && reply.header.messageSize == 16)
        #expect(try client.receive() == nil)
        try Bench(bench.device).expectAlive()
    }

    @Test(arguments: Command.allCases.filter { $0 != .dmaMap && $0 != .deviceSetIRQs })
    func descriptorsWhereNoneBelongAreRefusedAndClosed(_ command: Command) throws {
        let file = try MemoryFile(name: "stray", size: 4096)
        let stray = file.descriptor.raw
        try bench.expectRefusal(.invalidArgument, of: command, descriptors: [stray, stray])
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
    }

    @Test func moreDescriptorsThanAreTakenAreRefusedAndClosed() throws {
        let file = try MemoryFile(name: "many", size: 4096)
        let many = Array(repeating: file.descriptor.raw, count: ReceivedDescriptors.capacity + 1)
        // The messages before it are glued to it, and are right.
        let right = message(.deviceGetInfo, id: 1, info)
        let map = DMAMap(flags: .read, address: 0, length: 4096)
        try client.send(right + right)
        try client.send(message(.dmaMap, id: 2, wire(map.write)), descriptors: many)
        try client.send(right)
        #expect(try (0..<4).map { _ in try client.receive()?.errno } == [nil, nil, .tooManyOpenFiles, nil])
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
    }
}
