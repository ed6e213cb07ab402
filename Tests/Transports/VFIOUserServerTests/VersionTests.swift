import FakeGuest
import Linux
import Testing
import VFIO

@Suite struct VersionTests {
    private let device: ServedDevice
    private let client: RawClient

    init() throws {
        device = try ServedDevice("exerciser")
        client = try RawClient(path: device.path)
    }

    private func version(_ text: String, major: UInt16 = 0, minor: UInt16 = 0) -> [UInt8] {
        wire(major, minor) + Array(text.utf8) + [0]
    }

    @Test func theAnswerToQEMUFitsIntoTheBufferItHas() throws {
        let reply = try client.negotiate()
        #expect(reply.errno == nil)
        // QEMU's request is as long as its buffer for the reply, and it has no room for more.
        #expect(MessageHeader.size + reply.payload.count <= 214)
        let answer = try Capabilities.Message(reply.payload.span.bytes)
        #expect(answer.major == 0 && answer.minor == 0)
        #expect(answer.capabilities.maxMessageFDs == 16)
        #expect(answer.capabilities.maxDataTransfer == 1 << 20)
        #expect(answer.capabilities.maxDMAMaps == 65_535)
        #expect(answer.capabilities.pageSizes == 4096)
        #expect(answer.capabilities.writeMultiple)
        #expect(answer.capabilities.migrationPageSize == 4096)
        #expect(reply.payload.last == 0)
    }

    @Test func withoutTextTheDefaultsHold() throws {
        let reply = try client.call(.version, wire(UInt16(0), UInt16(0)))
        let answer = try Capabilities.Message(reply.payload.span.bytes)
        #expect(answer.capabilities.maxMessageFDs == 1)
        #expect(!answer.capabilities.writeMultiple)
        #expect(answer.capabilities.twinSocket == nil)
        #expect(answer.capabilities.migrationPageSize == nil)
    }

    @Test func theAnswerIsNeverMoreThanTheOffer() throws {
        let reply = try client.negotiate(
            #"{"capabilities":{"max_msg_fds":3,"max_data_xfer_size":512,"max_dma_maps":7}}"#)
        let answer = try Capabilities.Message(reply.payload.span.bytes)
        #expect(answer.capabilities.maxMessageFDs == 3)
        #expect(answer.capabilities.maxDataTransfer == 512)
        #expect(answer.capabilities.maxDMAMaps == 7)
    }

    @Test func aLaterMinorVersionIsAnsweredWithOurs() throws {
        let reply = try client.call(.version, version("{}", minor: 9))
        #expect(reply.errno == nil)
        #expect(reply.field(UInt16.self, at: 2) == 0)
    }

    @Test func unknownMembersAreIgnored() throws {
        let reply = try client.negotiate(#"{"capabilities":{"max_msg_fds":2,"dreams":[1,{}]},"more":null}"#)
        #expect(reply.errno == nil)
    }

    @Test(
        arguments: [
            [], [0], wire(UInt16(0), UInt8(0)), wire(UInt16(0), UInt16(0)) + Array("{}".utf8),
            wire(UInt16(0), UInt16(0)) + Array("{".utf8) + [0], wire(UInt16(0), UInt16(0)) + Array("[]".utf8) + [0],
            wire(UInt16(0), UInt16(0)) + [0xff, 0xfe, 0], wire(UInt16(0), UInt16(0)) + [0],
            wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":1}"#.utf8) + [0],
            wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"max_msg_fds":0}}"#.utf8) + [0],
            wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"max_msg_fds":-1}}"#.utf8) + [0],
            wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"max_data_xfer_size":1e300}}"#.utf8) + [0],
            wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"write_multiple":"yes"}}"#.utf8) + [0],
            wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"twin_socket":true}}"#.utf8) + [0],
            wire(UInt16(0), UInt16(0)) + Array(#"{"capabilities":{"migration":7}}"#.utf8) + [0],
            wire(UInt16(0), UInt16(0)) + Array(repeating: UInt8(ascii: "["), count: 100_000) + [0],
        ] as [[UInt8]])
    func aMalformedOfferEndsTheSession(_ payload: [UInt8]) throws {
        let reply = try client.call(.version, payload)
        #expect(reply.errno == .invalidArgument)
        #expect(try client.receive() == nil)
        try Bench(device).expectAlive()
    }

    @Test func anotherMajorVersionEndsTheSession() throws {
        let reply = try client.call(.version, version("{}", major: 1))
        #expect(reply.errno == .notSupported)
        #expect(try client.receive() == nil)
        try Bench(device).expectAlive()
    }

    @Test(arguments: Command.allCases.filter { $0 != .version })
    func nothingComesBeforeTheVersion(_ command: Command) throws {
        let reply = try client.call(command)
        #expect(reply.errno == .invalidArgument)
        #expect(try client.receive() == nil)
        try Bench(device).expectAlive()
    }

    @Test func aSecondVersionIsRefusedAndTheFirstHolds() throws {
        let bench = Bench(device, client)
        try client.negotiate()
        try bench.expectRefusal(.invalidArgument, of: .version, version("{}"))
    }

    @Test func descriptorsWithTheVersionEndTheSession() throws {
        // Where the kernel lets it choose, a connection takes none that soon.
        let device = try ServedDevice("exerciser", takesDescriptors: true)
        let client = try RawClient(path: device.path)
        let file = try MemoryFile(name: "stray", size: 4096)
        try client.send(.version, version("{}"), descriptors: [file.descriptor.raw])
        #expect(try client.receive()?.errno == .invalidArgument)
        #expect(try client.receive() == nil)
        try Bench(device).expectAlive()
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
    }

    @Test func theTwinSocketComesWhenOffered() throws {
        let reply = try client.negotiate(#"{"capabilities":{"twin_socket":{"supported":true}}}"#)
        let answer = try Capabilities.Message(reply.payload.span.bytes)
        #expect(answer.capabilities.twinSocket == .descriptor(index: 0))
        #expect(reply.files.count == 1)
    }

    @Test func aTwinSocketThatIsNotSupportedDoesNotCome() throws {
        let reply = try client.negotiate(#"{"capabilities":{"twin_socket":{"supported":false}}}"#)
        #expect(try Capabilities.Message(reply.payload.span.bytes).capabilities.twinSocket == nil)
        #expect(reply.files.isEmpty)
    }
}
