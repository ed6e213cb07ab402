import FakeGuest
import Glibc
import Linux
import Observer
import Testing
import VFIO

/// What stands between a client and a server, both byte for byte.
@Suite struct ObserverTests {
    /// What was seen.
    final class Sink: ObserverDelegate {
        struct Seen: Equatable, Sendable {
            var sender: Sender
            var bytes: [UInt8]
            var descriptors: [String]
        }

        private let messages = Locked<[Seen]>([])

        var all: [Seen] { messages.withLock { $0 } }

        func observe(_ message: RawSpan, descriptors: [String], from sender: Sender, connection: Int) {
            var bytes: [UInt8] = []
            bytes.append(message)
            messages.withLock { $0.append(Seen(sender: sender, bytes: bytes, descriptors: descriptors)) }
        }

        func observe(notice: String) {}

        func clear() { messages.withLock { $0 = [] } }
    }

    /// A client, what stands in between, and a server that has accepted it.
    final class Bench {
        let sink = Sink()
        let listener: UnixListener
        let observed: ObservedServer
        let client: RawClient
        let server: RawClient

        init(traps: Bool = false) throws {
            let path = "/tmp/observed-\(getpid())-\(UInt32.random(in: 0 ... .max))"
            listener = try UnixListener(path: path, takesDescriptors: true)
            observed = try ObservedServer(path, options: .init(traps: traps), delegate: sink)
            client = try RawClient(path: observed.path)
            _ = try waitReadable([listener.descriptor.raw], within: .seconds(10))
            guard let socket = try listener.accept() else { throw Errno.timedOut }
            server = try RawClient(socket)
            // As any client begins: what stands in between is ready then.
            try client.send(.deviceReset)
            _ = try server.receive()
            sink.clear()
        }

        deinit { observed.stop() }
    }

    private func reply(_ command: Command, _ payload: [UInt8], id: UInt16 = 1) -> [UInt8] {
        wire(id, command.rawValue, UInt32(16 + payload.count), UInt32(1), UInt32(0)) + payload
    }

    // MARK: As it is

    @Test func messagesGoOnInTheirOrderWithTheirDescriptors() throws {
        let bench = try Bench()
        let eventFD = try EventFD()
        for number in 0..<200 {
            try bench.client.send(
                .regionWrite, [UInt8](repeating: UInt8(number), count: number),
                descriptors: [Int32](repeating: eventFD.descriptor.raw, count: number % 3))
        }
        for number in 0..<200 {
            let message = try #require(try bench.server.receive())
            #expect(message.payload == [UInt8](repeating: UInt8(number), count: number))
            #expect(message.files.count == number % 3)
        }
        try bench.server.send(reply(.regionWrite, [1, 2]))
        #expect(try bench.client.receive()?.payload == [1, 2])
        let seen = bench.sink.all
        #expect(seen.count == 201)
        #expect(seen[2].descriptors == ["eventfd", "eventfd"] && seen[2].sender == .client)
        #expect(seen.last == Sink.Seen(sender: .server, bytes: reply(.regionWrite, [1, 2]), descriptors: []))
    }

    @Test func theLastBytesComeBeforeTheHangUp() throws {
        let bench = try Bench()
        try bench.client.send([1, 2, 3, 4, 5])
        bench.client.socket.shutDown()
        let buffer = try PageBuffer(count: 4096)
        var bytes: [UInt8] = []
        var descriptors = ReceivedDescriptors()
        receiving: while true {
            switch try bench.server.socket.receive(
                into: buffer, from: 0, descriptors: &descriptors, blocking: true)
            {
            case .bytes(let count, _, _): bytes.append(buffer.bytes(0..<count))
            case .endOfFile: break receiving
            case .nothing: break
            }
        }
        #expect(bytes == [1, 2, 3, 4, 5])
    }

    @Test func theLastBytesKeepTheirDescriptors() throws {
        let bench = try Bench()
        let eventFD = try EventFD()
        try bench.client.send([1, 2, 3], descriptors: [eventFD.descriptor.raw])
        bench.client.socket.shutDown()
        let buffer = try PageBuffer(count: 4096)
        var descriptors = ReceivedDescriptors()
        let received = try bench.server.socket.receive(
            into: buffer, from: 0, descriptors: &descriptors, blocking: true)
        #expect(received == .bytes(3, descriptors: true, lost: false))
        #expect(descriptors.count == 1)
    }

    @Test func whoEndsSendingCanStillReceive() throws {
        let bench = try Bench()
        try bench.client.send(.deviceReset)
        bench.client.socket.endSending()
        #expect(try bench.server.receive() != nil)
        #expect(try bench.server.receive() == nil)
        try bench.server.send(reply(.deviceReset, []))
        #expect(try bench.client.receive()?.header.command == Command.deviceReset.rawValue)
        bench.server.socket.shutDown()
        #expect(try bench.client.receive() == nil)
    }

    @Test func aLongMessageIsPassedOnAndTheNextOneSeen() throws {
        let bench = try Bench()
        let payload = (0..<(2 << 20) - 16).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let sending = Locked<Errno?>(nil)
        let socket = Unchecked(bench.client)
        let thread = try Thread(name: "client") {
            do throws(Errno) {
                try socket.value.send(.migrationDataWrite, payload)
                try socket.value.send(.deviceReset)
            } catch { sending.withLock { $0 = error } }
        }
        #expect(try bench.server.receive()?.payload == payload)
        #expect(try bench.server.receive()?.header.command == Command.deviceReset.rawValue)
        thread.join()
        #expect(sending.withLock { $0 } == nil)
        #expect(bench.sink.all.last?.bytes.count == 16)
    }

    @Test func whatIsNoMessageIsForTheReceiverToRefuse() throws {
        let bench = try Bench()
        let nonsense = [UInt8](repeating: 0, count: 64)
        try bench.client.send(nonsense)
        #expect(throws: Errno.badMessage) { try bench.server.receive() }
        bench.server.socket.shutDown()
        #expect(try bench.client.receive() == nil)
    }

    @Test func theServersOwnSocketIsObservedToo() throws {
        let bench = try Bench()
        var pair = try UnixSocket.pair()
        let offer = "{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}"
        try bench.server.send(
            reply(.version, RawClient.version(offer)), descriptors: [pair.second.descriptor.raw])
        let version = try #require(try bench.client.receive())
        let twin = try RawClient(UnixSocket(owning: version.files[0].descriptor.duplicate()))
        let server = try RawClient(pair.first)
        pair = try UnixSocket.pair()
        try server.send(.dmaRead, [UInt8](repeating: 7, count: 16))
        #expect(try twin.receive()?.payload == [UInt8](repeating: 7, count: 16))
        try twin.send(reply(.dmaRead, [1]))
        #expect(try server.receive()?.payload == [1])
        #expect(bench.sink.all.map(\.sender) == [.server, .server, .client])
    }

    @Test func aSecondSocketForCommandsEndsBothSides() throws {
        let bench = try Bench()
        let offer = "{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}"
        var ends: [RawClient] = []
        for _ in 0..<2 {
            let pair = try UnixSocket.pair()
            try bench.server.send(
                reply(.version, RawClient.version(offer)), descriptors: [pair.second.descriptor.raw])
            ends.append(try RawClient(pair.first))
        }
        #expect(try bench.client.receive() != nil)
        #expect(try bench.client.receive() == nil)
        #expect(try bench.server.receive() == nil)
        #expect(ends.count == 2)
    }

    /// No client waits for another's server, and the end waits for none.
    @Test func whileTheServerTakesNobodyTheEndIsHeard() throws {
        let path = "/tmp/observed-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        let listener = try UnixListener(path: path, backlog: 0)
        let first = try RawClient(path: path)
        let observed = try ObservedServer(path, delegate: Sink())
        // Less than the server has to take a connection.
        let clients = [
            try RawClient(path: observed.path, patience: .seconds(5)),
            try RawClient(path: observed.path, patience: .seconds(5)),
        ]
        observed.stop()
        for client in clients { #expect(try client.receive() == nil) }
        withExtendedLifetime((listener, first)) {}
    }

    // MARK: With --trap

    @Test(arguments: [[UInt16]](arrayLiteral: [1], [1, 2], [2, 1], [1, 1, 2], [2], []))
    func aRegionThatCanBeMappedCannotBeAnyMore(_ capabilities: [UInt16]) throws {
        let bench = try Bench(traps: true)
        let memory = try MemoryFile(name: "region", size: 4096)
        var list: [UInt8] = []
        for (index, id) in capabilities.enumerated() {
            let next = index + 1 < capabilities.count ? UInt32(32 + 32 * (index + 1)) : 0
            list += wire(id, UInt16(1), next, UInt32(1), UInt32(0), UInt64(0), UInt64(4096))
        }
        let flags: UInt32 = capabilities.isEmpty ? 7 : 15
        let payload =
            wire(
                UInt32(32 + list.count), flags, UInt32(0), UInt32(capabilities.isEmpty ? 0 : 32), UInt64(4096),
                UInt64(0))
            + list
        try bench.server.send(reply(.deviceGetRegionInfo, payload), descriptors: [memory.descriptor.raw])
        let message = try #require(try bench.client.receive())
        #expect(message.files.isEmpty)
        let kept = capabilities.filter { $0 != 1 }
        #expect(message.field(UInt32.self, at: 4) == (kept.isEmpty ? 3 : 11))
        #expect(message.payload.count == payload.count)
        var found: [UInt16] = []
        var place = message.field(UInt32.self, at: 12) ?? 0
        while place != 0 {
            found.append(message.field(UInt16.self, at: Int(place)) ?? 0)
            place = message.field(UInt32.self, at: Int(place) + 4) ?? 0
        }
        #expect(found == kept)
    }

    @Test func doorbellsAreTakenOut() throws {
        let bench = try Bench(traps: true)
        let eventFD = try EventFD()
        let payload =
            wire(UInt32(56), UInt32(0), UInt32(2), UInt32(1))
            + wire(UInt64(0x10), UInt64(4), UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt64(0))
        try bench.server.send(reply(.deviceGetRegionIOFDs, payload), descriptors: [eventFD.descriptor.raw])
        let message = try #require(try bench.client.receive())
        #expect(message.payload == wire(UInt32(16), UInt32(0), UInt32(2), UInt32(0)))
        #expect(message.files.isEmpty)
    }

    @Test func theAccessRingIsTakenOutAndAllElseStays() throws {
        let bench = try Bench(traps: true)
        try bench.client.send(
            .version,
            RawClient.version("{\"capabilities\":{\"access_ring\":{\"version\":1},\"max_msg_fds\":8},\"x\":1}"))
        let message = try #require(try bench.server.receive())
        #expect(
            message.payload.dropFirst(4).dropLast() == Array("{\"capabilities\":{\"max_msg_fds\":8},\"x\":1}".utf8)[...]
        )
        #expect(message.payload.last == 0)
    }

    @Test func anyAnswerIsTakenApart() throws {
        let bench = try Bench(traps: true)
        for _ in 0..<2000 {
            let command = [Command.deviceGetRegionInfo, .deviceGetRegionIOFDs, .version].randomElement() ?? .version
            let payload = (0..<Int.random(in: 0..<100)).map { _ in UInt8.random(in: 0...40) }
            try bench.server.send(reply(command, payload))
            #expect(try bench.client.receive()?.header.command == command.rawValue)
            try bench.client.send(.version, payload)
            #expect(try bench.server.receive()?.payload == payload)
        }
    }
}

/// SAFETY: one thread uses it at a time.
private struct Unchecked<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
