import FakeGuest
import Linux
import Synchronization
import Testing
import VFIO
import VFIOUserClient
import VFIOUserServer

/// VFIO_USER_DMA_READ: the server asks, the client answers.
@Suite struct DMAReadTests {
    private let bench: Bench
    private var client: RawClient { bench.client }
    /// The exerciser's register for memory that can't be reached.
    private static let unreachable: UInt32 = 5

    init() throws {
        bench = try Bench()
        try bench.mapRemote(address: 0x10000, size: 0x200000)
    }

    private func startLoad(_ length: UInt32) throws -> RawClient.Message {
        try bench.startTransfer(Bench.load, from: 0x10000, length: length)
        return try #require(try client.receive())
    }

    /// The reply to the write that started the transfer, and the status register.
    private func status() throws -> UInt32 {
        let reply = try #require(try client.receive())
        #expect(reply.header.command == Command.regionWrite.rawValue && reply.errno == nil)
        return try bench.read(UInt32.self, at: 0x3c)
    }

    @Test func theDeviceGetsWhatTheClientAnswers() throws {
        let request = try startLoad(4)
        #expect(request.header.command == Command.dmaRead.rawValue && request.header.type == .command)
        #expect(request.payload == wire(UInt64(0x10000), UInt64(4)))
        try client.send(message(.dmaRead, id: request.header.id, request.payload + [1, 2, 3, 4], flags: .reply))
        #expect(try status() == 0)
        #expect(try bench.read(UInt32.self, region: 2, at: 0x1000) == 0x0403_0201)
    }

    @Test func noRequestIsLongerThanTheClientTakes() throws {
        let bench = try Bench(offer: #"{"capabilities":{"max_data_xfer_size":1000}}"#)
        try bench.mapRemote(address: 0x10000, size: 0x1000)
        try bench.startTransfer(Bench.load, from: 0x10000, length: 2500)
        for (address, count) in [(0x10000, 1000), (0x103e8, 1000), (0x107d0, 500)] {
            let request = try #require(try bench.client.receive())
            #expect(request.payload == wire(UInt64(address), UInt64(count)))
            let data = [UInt8](repeating: 1, count: count)
            try bench.client.send(message(.dmaRead, id: request.header.id, request.payload + data, flags: .reply))
        }
        #expect(try bench.client.receive()?.errno == nil)
    }

    @Test func anErrorFailsTheAccessAlone() throws {
        let request = try startLoad(4)
        try client.send(message(.dmaRead, id: request.header.id, flags: [.reply, .error]))
        #expect(try status() == Self.unreachable)
        #expect(try bench.read(UInt64.self, at: 0x40) == 0x10000)
        try bench.expectAlive()
    }

    @Test func aReplyThatDoesNotFitFailsTheAccessAlone() throws {
        let right = wire(UInt64(0x10000), UInt64(4), UInt32(7))
        for payload in wrongLengths(of: right) + [
            right.replacing(at: 0, with: UInt64(0x11000)), right.replacing(at: 8, with: UInt64(5)),
            right.replacing(at: 8, with: UInt64.max), right.replacing(at: 8, with: UInt64(Int64.max)),
            Array(right.prefix(16)),
        ] {
            let request = try startLoad(4)
            try client.send(message(.dmaRead, id: request.header.id, payload, flags: .reply))
            #expect(try status() == Self.unreachable)
        }
        try bench.expectAlive()
    }

    @Test func commandsAmongManyOtherRepliesAreKeptInTheirOrder() throws {
        let request = try startLoad(4)
        let other = message(.dmaRead, id: request.header.id &+ 1, flags: .reply)
        let others = Array(repeating: other, count: 20_000).flatMap { $0 }
        let file = try MemoryFile(name: "with others", size: 4096)
        let isSent = Atomic<Bool>(false)
        // More than a socket holds.
        let sending = try Thread(name: "sending") { [lent = Lent(client)] in
            let client = lent.client
            do {
                for id in 1...3 as ClosedRange<UInt16> {
                    try client.send(others)
                    try client.send(other, descriptors: [file.descriptor.raw])
                    try client.send(message(.regionWrite, id: id, wire(UInt64(4), UInt32(0), UInt32(4), UInt32(id))))
                }
                let right = message(.dmaRead, id: request.header.id, request.payload + [1, 0, 0, 0], flags: .reply)
                try client.send(others + right + others)
                try client.send(message(.regionRead, id: 4, wire(UInt64(4), UInt32(0), UInt32(4))))
                isSent.store(true, ordering: .relaxed)
            } catch {}
        }
        let replies = try (0..<5).map { _ in try #require(try client.receive()) }
        sending.join()
        let isDone = isSent.load(ordering: .relaxed)
        #expect(isDone)
        #expect(replies.map(\.errno) == [nil, nil, nil, nil, nil])
        #expect(replies.dropFirst().map(\.header.id) == [1, 2, 3, 4])
        #expect(replies.last?.field(UInt32.self, at: 16) == 3)
        #expect(try bench.read(UInt32.self, at: 0x3c) == 0)
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
    }

    @Test func otherRepliesArePassedOver() throws {
        let request = try startLoad(4)
        let other = message(.dmaRead, id: request.header.id &+ 1, request.payload + [9, 9, 9, 9], flags: .reply)
        try client.send(other + other)
        try client.send(message(.dmaRead, id: request.header.id, request.payload + [1, 0, 0, 0], flags: .reply))
        #expect(try status() == 0)
        #expect(try bench.read(UInt32.self, region: 2, at: 0x1000) == 1)
    }

    @Test func garbageInsteadOfAReplyEndsTheSession() throws {
        _ = try startLoad(4)
        try client.send(message(.dmaRead, flags: .reply, size: 3))
        while try client.receive() != nil {}
        try Bench(bench.device).expectAlive()
    }

    @Test func commandsThatComeMeanwhileAreAnsweredAfterwardsInOrder() throws {
        let request = try startLoad(4)
        let memory = try GuestRAM(at: 0x1000_0000, size: 4096)
        let event = try EventFD()
        for value in 1...3 as ClosedRange<UInt32> {
            try client.send(.regionWrite, wire(UInt64(4), UInt32(0), UInt32(4), value))
        }
        let map = DMAMap(flags: [.read, .write], address: memory.address, length: 4096)
        try client.send(.dmaMap, wire(map.write), descriptors: [memory.file.descriptor.raw])
        let set = IRQSet(kind: .msi, count: 1, data: .eventfd, action: .trigger)
        try client.send(.deviceSetIRQs, wire(set.write), descriptors: [event.descriptor.raw])
        try client.send(message(.dmaRead, id: request.header.id, request.payload + [1, 0, 0, 0], flags: .reply))
        try client.send(.regionRead, wire(UInt64(4), UInt32(0), UInt32(4)))
        var replies: [RawClient.Message] = []
        for _ in 0..<7 { replies.append(try #require(try client.receive())) }
        #expect(replies.allSatisfy { $0.errno == nil })
        #expect(replies.map(\.header.command) == [10, 10, 10, 10, 2, 8, 9])
        #expect(replies[6].payload.number(UInt32.self, at: 16) == 3)
        #expect(try bench.transfer(Bench.fill, to: memory.address, length: 1) == 0)
        try bench.write(UInt32(0), at: 0x10)
        #expect(event.consume() == 1)
    }

    @Test func aClientThatNeverAnswersLosesTheAccess() throws {
        var configuration = Server.Configuration()
        configuration.patience = .milliseconds(20)
        let bench = try Bench(configuration: configuration)
        try bench.mapRemote(address: 0x10000, size: 0x1000)
        try bench.startTransfer(Bench.load, from: 0x10000, length: 4)
        let request = try #require(try bench.client.receive())
        #expect(try bench.client.receive()?.header.command == Command.regionWrite.rawValue)
        #expect(try bench.read(UInt32.self, at: 0x3c) == Self.unreachable)
        // Too late: nobody waits for it any more.
        try bench.client.send(
            message(.dmaRead, id: request.header.id, request.payload + [1, 2, 3, 4], flags: .reply))
        try bench.expectAlive()
    }

    @Test func whatElseTheClientSendsDoesNotExtendItsTime() throws {
        var configuration = Server.Configuration()
        configuration.patience = .milliseconds(20)
        let bench = try Bench(configuration: configuration)
        try bench.mapRemote(address: 0x10000, size: 0x1000)
        try bench.startTransfer(Bench.load, from: 0x10000, length: 4)
        let request = try #require(try bench.client.receive())
        let other = message(.dmaRead, id: request.header.id &+ 1, request.payload + [1, 2, 3, 4], flags: .reply)
        var sent = 0
        while try sent < 2_000_000 && !bench.client.socket.waitReadable(within: .zero) {
            try bench.client.send(other)
            sent += 1
        }
        #expect(sent < 2_000_000)
        #expect(try bench.client.receive()?.header.command == Command.regionWrite.rawValue)
        #expect(try bench.read(UInt32.self, at: 0x3c) == Self.unreachable)
    }

    @Test func oneEventOrMessageHasNoMoreTimeThanOneAccess() throws {
        var configuration = Server.Configuration()
        configuration.patience = .milliseconds(20)
        let bench = try Bench(configuration: configuration)
        try bench.mapRemote(address: 0x10000, size: 0x1000)
        let failures = bench.device.onThread { function, _ in
            (0..<3).filter { _ in
                var bytes = [UInt8](repeating: 0, count: 4)
                var span = bytes.mutableSpan
                var raw = span.mutableBytes
                return (try? function.host.memory.read(at: 0x10000, into: &raw)) == nil
            }.count
        }
        #expect(failures == 3)
        // Once the time is over nothing more is asked; the next message has its time again.
        #expect(try bench.client.receive()?.header.command == Command.dmaRead.rawValue)
        try bench.expectAlive()
        try bench.startTransfer(Bench.load, from: 0x10000, length: 4)
        #expect(try bench.client.receive()?.header.command == Command.dmaRead.rawValue)
        #expect(try bench.client.receive()?.header.command == Command.regionWrite.rawValue)
    }

    @Test func aClientThatLeavesMeanwhileIsNoHarm() throws {
        _ = try startLoad(4)
        client.socket.shutDown()
        let next = try Bench(bench.device)
        #expect(try next.read(UInt32.self, at: 0x3c) == Self.unreachable)
    }

    @Test func theTwinSocketCarriesIt() throws {
        let client = try RawClient(path: bench.device.path)
        #expect(try client.negotiate().errno == .resourceBusy)
        bench.client.socket.shutDown()
        let other = try ServedDevice("exerciser")
        let main = try RawClient(path: other.path)
        let version = try main.negotiate(#"{"capabilities":{"twin_socket":{"supported":true}}}"#)
        let file = try #require(version.files.first)
        let twin = try RawClient(UnixSocket(owning: file.descriptor.duplicate()))
        let bench = Bench(other, main)
        try bench.setBusMaster(true)
        try bench.mapRemote(address: 0, size: 0x1000)
        try bench.startTransfer(Bench.load, from: 0, length: 4)
        let request = try #require(try twin.receive())
        #expect(request.header.command == Command.dmaRead.rawValue)
        try twin.send(message(.dmaRead, id: request.header.id, request.payload + [5, 0, 0, 0], flags: .reply))
        #expect(try main.receive()?.errno == nil)
        #expect(try bench.read(UInt32.self, region: 2, at: 0x1000) == 5)
    }
}
