import FakeGuest
import Linux
import Testing
import VFIO

/// The header that every message begins with.
@Suite struct HeaderTests {
    private static let getInfo = fields(UInt32(16), UInt32(0), UInt32(0), UInt32(0))

    @Test(arguments: [0, 1, 0xffff] as [UInt16])
    func theReplyEchoesIDAndCommand(id: UInt16) throws {
        let connection = try Connection()
        try connection.raw.send(RawClient.message(4, id: id, payload: Self.getInfo))
        let reply = try connection.raw.receive()
        #expect(reply.id == id)
        #expect(reply.command == 4)
    }

    @Test(arguments: [0, 14, 19, 0xffff] as [UInt16])
    func anUnknownCommandIsRefused(command: UInt16) throws {
        let connection = try Connection()
        #expect(try connection.raw.call(command).errno == .inappropriateIOCTLForDevice)
        #expect(try connection.raw.call(.deviceGetInfo, Self.getInfo).errno == nil)
    }

    @Test(arguments: [2, 3, 15] as [UInt32])
    func aMessageThatIsNeitherCommandNorReplyIsInvalid(type: UInt32) throws {
        let connection = try Connection()
        #expect(try connection.raw.call(4, Self.getInfo, flags: type).errno == .invalidArgument)
    }

    @Test func aReplyThatNobodyWaitsForIsDropped() throws {
        let connection = try Connection()
        try connection.raw.send(RawClient.message(11, id: 9, flags: 1, payload: fields(UInt64(0), UInt64(0))))
        try connection.raw.send(RawClient.message(4, id: 10, payload: Self.getInfo))
        #expect(try connection.raw.receive().id == 10)
    }

    @Test func noReplyIsHonouredAlsoForErrors() throws {
        let connection = try Connection()
        try connection.raw.send(RawClient.message(4, id: 1, flags: 0x10, payload: Self.getInfo))
        try connection.raw.send(RawClient.message(99, id: 2, flags: 0x10))
        try connection.raw.send(RawClient.message(13, id: 3, flags: 0x10, payload: [1]))
        try connection.raw.send(RawClient.message(4, id: 4, payload: Self.getInfo))
        #expect(try connection.raw.receive().id == 4)
    }

    @Test(arguments: [0, 15, 0x7fff_ffff, 0xffff_ffff, 2 << 20] as [UInt32])
    func aSizeThatCannotBeEndsTheConnectionWithAnError(size: UInt32) throws {
        let connection = try Connection()
        try connection.raw.send(RawClient.message(4, id: 7, payload: Self.getInfo, size: size))
        let reply = try connection.raw.receive()
        #expect(reply.errno == .invalidArgument)
        #expect(reply.id == 7)
        #expect(try connection.raw.isClosedByServer())
        #expect(try connection.device.rawClient().negotiate().errno == nil)
    }

    @Test func messagesMayArriveByteByByte() throws {
        let connection = try Connection()
        for byte in RawClient.message(4, id: 5, payload: Self.getInfo) { try connection.raw.send([byte]) }
        #expect(try connection.raw.receive().id == 5)
    }

    @Test func messagesMayArriveGluedTogether() throws {
        let connection = try Connection()
        let ids = (1...200).map(UInt16.init)
        try connection.raw.send(ids.flatMap { RawClient.message(4, id: $0, payload: Self.getInfo) })
        for id in ids { #expect(try connection.raw.receive().id == id) }
    }

    @Test func descriptorsWhereNoneBelongAreInvalidAndClosed() throws {
        let connection = try Connection()
        let file = try MemoryFile(name: "surplus", size: 4096)
        for command in [Command.deviceGetInfo, .regionRead, .deviceReset, .dmaUnmap] {
            try connection.expect(
                .invalidArgument, command, command == .deviceReset ? [] : Self.getInfo,
                descriptors: [file.descriptor.raw, file.descriptor.raw], "\(command)")
        }
        #expect(try openDescriptors(ofMemoryFile: "surplus") == 1)
    }
}
