import FakeGuest
import Linux
import Testing
import VFIO

/// VFIO_USER_DEVICE_GET_REGION_IO_FDS
@Suite struct RegionIOFDsTests {
    private let bench: Bench

    init() throws {
        bench = try Bench()
    }

    private func request(_ index: UInt32, argsz: UInt32 = 16, flags: UInt32 = 0, count: UInt32 = 0) -> [UInt8] {
        wire(argsz, flags, index, count)
    }

    @Test func theAnswerTakesTwoSteps() throws {
        for argsz in [16, 95] as [UInt32] {
            let first = try bench.call(.deviceGetRegionIOFDs, request(0, argsz: argsz))
            #expect(first.payload == wire(UInt32(96), UInt32(0), UInt32(0), UInt32(0)) && first.files.isEmpty)
        }
        let second = try bench.call(.deviceGetRegionIOFDs, request(0, argsz: 96))
        #expect(second.files.count == 2 && second.payload.count == 96)
        let entries = try RegionIOFDs.Reply(second.payload.span.bytes).info.entries
        #expect(
            entries == [
                .init(offset: 0x80, size: 4, descriptorIndex: 0, kind: .ioeventfd),
                .init(offset: 0, size: 0x84, descriptorIndex: 1, kind: .ioregionfd),
            ])
    }

    @Test(arguments: [(1, [RegionIOFDs.Entry.Kind.ioeventfd]), (2, [.ioeventfd, .ioregionfd])])
    func noMoreDescriptorsComeThanTheClientTakes(limit: Int, kinds: [RegionIOFDs.Entry.Kind]) throws {
        let bench = try Bench(offer: #"{"capabilities":{"max_msg_fds":\#(limit)}}"#)
        let reply = try bench.call(.deviceGetRegionIOFDs, request(0, argsz: 4096))
        #expect(reply.files.count == limit)
        #expect(try RegionIOFDs.Reply(reply.payload.span.bytes).info.entries.map(\.kind) == kinds)
        // Shadow memory needs a descriptor more.
        let shadow = try bench.call(.deviceGetRegionIOFDs, request(2, argsz: 4096))
        #expect(shadow.files.count == (limit == 1 ? 0 : 2))
    }

    @Test func theDescriptorRingsTheDoorbell() throws {
        let reply = try bench.call(.deviceGetRegionIOFDs, request(0, argsz: 96))
        let file = try #require(reply.files.first)
        let bell = try EventFD(adopting: try file.descriptor.duplicate())
        bell.signal()
        // A job for the device's thread comes behind the doorbell, which was ready before it.
        bench.device.onThread { _, _ in }
        #expect(try bench.read(UInt64.self, at: 0x78) == 1)
        try bench.write(UInt32(1), at: 0x80)
        #expect(try bench.read(UInt64.self, at: 0x78) == 2)
    }

    @Test func theDescriptorsOfAnEarlierAnswerStillRing() throws {
        let replies = try (0..<2).map { _ in try bench.call(.deviceGetRegionIOFDs, request(0, argsz: 96)) }
        for (number, reply) in replies.enumerated() {
            let file = try #require(reply.files.first)
            try EventFD(adopting: file.descriptor.duplicate()).signal()
            bench.device.onThread { _, _ in }
            #expect(try bench.read(UInt64.self, at: 0x78) == UInt64(number + 1))
        }
    }

    @Test func aRegionWithoutDoorbellsHasNone() throws {
        for index in [1, 3, 4, 5, 7, 8] as [UInt32] {
            let reply = try bench.call(.deviceGetRegionIOFDs, request(index, argsz: 4096))
            #expect(reply.payload == wire(UInt32(16), UInt32(0), index, UInt32(0)) && reply.files.isEmpty)
        }
    }

    @Test func wrongRequestsAreInvalid() throws {
        for payload in wrongLengths(of: request(0)) + [
            request(9), request(.max), request(0, argsz: 15), request(0, flags: 1), request(0, count: 1),
        ] {
            try bench.expectRefusal(.invalidArgument, of: .deviceGetRegionIOFDs, payload)
        }
    }

    @Test func anUnwantedReplyIsNone() throws {
        try bench.post(.deviceGetRegionIOFDs, request(0, argsz: 96))
    }

    // MARK: Shadow ioeventfd

    @Test func theValueOfAShadowedDoorbellIsTheLastOneStored() throws {
        let reply = try bench.call(.deviceGetRegionIOFDs, request(2, argsz: 64))
        #expect(reply.files.count == 2 && reply.payload.count == 64)
        let entry = try #require(try RegionIOFDs.Reply(reply.payload.span.bytes).info.entries.first)
        #expect(
            entry
                == .init(
                    offset: 0x10, size: 4, descriptorIndex: 0, kind: .shadowIOEventFD,
                    shadow: .init(descriptorIndex: 1, offset: 0x10)))
        let shadow = try MemoryFile(adopting: reply.files[1].descriptor.duplicate(), size: 4096)
        let bell = try EventFD(adopting: reply.files[0].descriptor.duplicate())
        for tail in [7, 9] as [UInt64] {
            // As KVM does: the value first, then the signal.
            shadow.publish(tail, at: 0x10)
            bell.signal()
            bench.device.onThread { _, _ in }
            bench.device.onThread { _, _ in }
            #expect(try bench.read(UInt64.self, at: 0x90) == tail)
        }
        // The same doorbell as a message.
        try bench.write(UInt32(11), region: 2, at: 0x10)
        #expect(try bench.read(UInt64.self, at: 0x90) == 11)
        #expect(shadow.number(at: 0x10) == 11)
        #expect(try bench.read(UInt64.self, at: 0x78) == 3)
    }

    // MARK: ioregionfd

    /// The client's end of BAR 0's socket.
    private func ioregion() throws -> RawClient {
        let reply = try bench.call(.deviceGetRegionIOFDs, request(0, argsz: 96))
        return try RawClient(UnixSocket(owning: reply.files[1].descriptor.duplicate()))
    }

    private func send(_ command: IORegionCommand, over socket: RawClient) throws -> UInt64? {
        try socket.send(wire(command.write))
        guard command.wantsResponse else { return nil }
        return try response(from: socket)
    }

    /// nil when the server has closed the socket.
    private func response(from socket: RawClient) throws -> UInt64? {
        #expect(try socket.socket.waitReadable(within: .seconds(10)))
        let buffer = try PageBuffer(count: 4096)
        var descriptors = ReceivedDescriptors()
        guard
            case .bytes(let count, _, _) = try socket.socket.receive(
                into: buffer, from: 0, descriptors: &descriptors, blocking: false)
        else { return nil }
        #expect(count == IORegionResponse.size)
        return try IORegionResponse(buffer.bytes(0..<count)).data
    }

    @Test func accessesOverAnIORegionReachTheRegisters() throws {
        let socket = try ioregion()
        #expect(try send(.init(isWrite: false, width: 4, userData: 0, offset: 0), over: socket) == 0x0001_11e9)
        #expect(try send(.init(isWrite: true, width: 4, userData: 0, offset: 4, data: 0xaabb_ccdd), over: socket) == 0)
        #expect(try send(.init(isWrite: true, width: 1, userData: 0, offset: 5, data: 0x11), over: socket) == 0)
        #expect(try send(.init(isWrite: false, width: 2, userData: 0, offset: 4), over: socket) == 0x11dd)
        #expect(try bench.read(UInt32.self, at: 4) == 0xaabb_11dd)
    }

    @Test func aDoorbellRingsOverAnIORegionToo() throws {
        let socket = try ioregion()
        for _ in 0..<3 {
            #expect(try send(.init(isWrite: true, width: 4, userData: 0, offset: 0x80, data: 1), over: socket) == 0)
        }
        #expect(try bench.read(UInt64.self, at: 0x78) == 3)
    }

    @Test func postedWritesOverAnIORegionKeepTheirOrder() throws {
        let socket = try ioregion()
        for number in 1...1000 as ClosedRange<UInt64> {
            let write = IORegionCommand(
                isWrite: true, width: 8, wantsResponse: false, userData: 0, offset: 8, data: number)
            #expect(try send(write, over: socket) == nil)
        }
        #expect(try send(.init(isWrite: false, width: 8, userData: 0, offset: 8), over: socket) == 1000)
        #expect(try bench.read(UInt64.self, at: 0x68) == 1000)
    }

    @Test(arguments: [(0, 0x84), (0, 0x81), (0, .max), (4, 0), (.max, 0)] as [(UInt64, UInt64)])
    func outsideItsRangesAnIORegionReadsOnesAndWritesNothing(userData: UInt64, offset: UInt64) throws {
        let socket = try ioregion()
        let read = IORegionCommand(isWrite: false, width: 4, userData: userData, offset: offset)
        #expect(try send(read, over: socket) == .max)
        let write = IORegionCommand(isWrite: true, width: 4, userData: userData, offset: offset, data: 1)
        #expect(try send(write, over: socket) == .max)
        #expect(try bench.read(UInt64.self, at: 0x68) == 0)
    }

    @Test(arguments: [0, 1, 31, 33, 4096])
    func whatIsNoCommandEndsTheSocketAlone(count: Int) throws {
        let socket = try ioregion()
        // Nothing at all is no packet; the first byte is a command that doesn't exist.
        try socket.send([UInt8](repeating: 0xf, count: max(count, 1)))
        #expect(try response(from: socket) == nil)
        try bench.expectAlive()
        // Another one can be had.
        #expect(try send(.init(isWrite: false, width: 4, userData: 0, offset: 0), over: ioregion()) == 0x0001_11e9)
    }

    @Test func whoeverTakesNoResponsesLosesTheSocketAlone() throws {
        let socket = try ioregion()
        let read = wire(IORegionCommand(isWrite: false, width: 4, userData: 0, offset: 0).write)
        var isOpen = true
        for _ in 0..<100_000 where isOpen {
            do { try socket.send(read) } catch { isOpen = false }
        }
        #expect(!isOpen)
        try bench.expectAlive()
    }
}
