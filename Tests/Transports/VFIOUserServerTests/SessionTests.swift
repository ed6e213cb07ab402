import Device
import FakeGuest
import GuestMemory
import Glibc
import Linux
import Synchronization
import Testing
import VFIO
import VFIOUserClient
import VFIOUserServer

/// What holds for a connection as a whole.
@Suite struct SessionTests {
    private let bench: Bench
    private var client: RawClient { bench.client }

    init() throws {
        bench = try Bench()
    }

    private func read(_ offset: UInt64 = 4) -> [UInt8] { wire(offset, UInt32(0), UInt32(4)) }
    private func write(_ value: UInt32) -> [UInt8] { read() + wire(value) }

    /// Connects when the server has noticed that the last client left.
    private func reconnect() throws -> Bench {
        while true {
            let next = try RawClient(path: bench.device.path)
            if try next.negotiate().errno != .resourceBusy { return Bench(bench.device, next) }
        }
    }

    @Test func messagesMayComeInAnyPieces() throws {
        let bytes = message(.regionWrite, id: 1, write(7)) + message(.regionRead, id: 2, read())
        for split in 1..<bytes.count {
            try client.send(Array(bytes.prefix(split)))
            // The server has seen the first piece before the second is sent.
            bench.device.onThread { _, _ in }
            try client.send(Array(bytes.dropFirst(split)))
            #expect(try client.receive()?.header.id == 1)
            #expect(try client.receive()?.payload.number(UInt32.self, at: 16) == 7)
        }
    }

    @Test func gluedMessagesAreAnsweredInOrder() throws {
        var bytes: [UInt8] = []
        for number in 0..<100 as Range<UInt16> {
            bytes += message(.regionWrite, id: number, write(UInt32(number)))
            bytes += message(.regionRead, id: number, read())
        }
        try client.send(bytes)
        for number in 0..<100 as Range<UInt16> {
            #expect(try client.receive()?.header.command == Command.regionWrite.rawValue)
            let reply = try #require(try client.receive())
            #expect(reply.header.id == number && reply.payload.number(UInt32.self, at: 16) == UInt32(number))
        }
    }

    /// Messages that have arrived don't keep the server's other work waiting.
    @Test func eventsHaveTheirTurnBetweenMessagesThatTakeLong() throws {
        var configuration = Server.Configuration()
        configuration.patience = .milliseconds(30)
        let bench = try Bench(configuration: configuration)
        try bench.mapRemote(address: 0, size: 4096)
        try bench.write(UInt32(1), at: 0x30)
        let command = message(.regionWrite, wire(UInt64(0x38), UInt32(0), UInt32(4), Bench.load))
        let rest = message(.regionWrite, wire(UInt64(4), UInt32(0), UInt32(4), UInt32(7)))
        let count = 20
        try bench.client.send(repeatElement(command, count: count).flatMap { $0 } + rest)
        // Each load waits in vain, longer than a turn is.
        let scratch = bench.device.onThread { function, _ in
            var bytes = [UInt8](repeating: 0, count: 4)
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            try? function.read(region: 0, offset: 4, into: &raw)
            return bytes.number(UInt32.self, at: 0)
        }
        #expect(scratch == 0)
        var replies = 0
        while replies <= count {
            if try #require(try bench.client.receive()).header.type == .reply { replies += 1 }
        }
        #expect(try bench.read(UInt32.self, at: 4) == 7)
    }

    @Test func descriptorsStayWithTheirMessages() throws {
        let memories = try (0..<8).map { try GuestRAM(at: UInt64($0) << 20, size: 4096) }
        for memory in memories {
            try client.send(.regionRead, read())
            let map = DMAMap(flags: [.read, .write], address: memory.address, length: 4096)
            try client.send(.dmaMap, wire(map.write), descriptors: [memory.file.descriptor.raw])
        }
        for _ in 0..<16 { #expect(try client.receive()?.errno == nil) }
        for (number, memory) in memories.enumerated() {
            try bench.write(UInt8(number + 1), at: 0x34)
            #expect(try bench.transfer(Bench.fill, to: memory.address, length: 1) == 0)
            #expect(memory.bytes(at: 0, count: 1) == [UInt8(number + 1)])
        }
    }

    @Test func whoeverSaysNothingLosesThePlace() throws {
        var configuration = Server.Configuration()
        configuration.patience = .milliseconds(50)
        let device = try ServedDevice("exerciser", configuration: configuration)
        let silent = try RawClient(path: device.path)
        #expect(try silent.receive() == nil)
        // The server that ended the one session waits for the next.
        let bench = try Bench(device)
        try bench.expectAlive()
    }

    @Test func aMessageHoldsNoMoreDescriptorsThanOneMayHave() throws {
        let file = try MemoryFile(name: "hoarded", size: 4096)
        let raw = Array(repeating: file.descriptor.raw, count: 64)
        let bytes = message(.deviceSetIRQs, [UInt8](repeating: 0, count: 40))
        for byte in bytes.dropLast() {
            try client.send([byte], descriptors: raw)
            // Received on its own: the kernel stops behind a message with descriptors.
            bench.device.onThread { _, _ in }
        }
        #expect(file.descriptor.openCount(settlingAt: 65) <= 65)
        try client.send(Array(bytes.suffix(1)))
        #expect(try client.receive()?.errno == .tooManyOpenFiles)
        // The next answer comes when the message is done with.
        try bench.expectAlive()
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
    }

    @Test func descriptorsThatWaitForAReplyAreBounded() throws {
        try bench.mapRemote(address: 0x10000, size: 0x1000)
        try bench.startTransfer(Bench.load, from: 0x10000, length: 4)
        #expect(try client.receive()?.header.command == Command.dmaRead.rawValue)
        let file = try MemoryFile(name: "hoarded", size: 4096)
        let raw = Array(repeating: file.descriptor.raw, count: 64)
        for _ in 0..<100 { try client.send(.deviceReset, descriptors: raw) }
        // The access fails before its time is over, and each message is refused.
        #expect(try client.receive()?.header.command == Command.regionWrite.rawValue)
        for _ in 0..<100 { #expect(try client.receive()?.errno == .invalidArgument) }
        #expect(try bench.read(UInt32.self, at: 0x3c) == 5)
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
    }

    @Test func aSecondClientIsTurnedAwayAndTheFirstGoesOn() throws {
        for _ in 0..<20 {
            let second = try RawClient(path: bench.device.path)
            #expect(try second.negotiate().errno == .resourceBusy)
            #expect(try second.receive() == nil)
            try bench.expectAlive()
        }
    }

    @Test(arguments: [1, 15, 16, 17, 35])
    func aClientMayLeaveInTheMiddleOfAMessage(_ count: Int) throws {
        try client.send(Array(message(.regionWrite, write(1)).prefix(count)))
        client.socket.shutDown()
        let next = try reconnect()
        #expect(try next.read(UInt32.self, at: 4) == 0)
    }

    @Test func theDeviceKeepsItsStateButNothingOfTheClients() throws {
        let memory = try GuestRAM(at: 0, size: 4096)
        try bench.map(memory)
        let event = try EventFD()
        let set = IRQSet(kind: .msix, count: 1, data: .eventfd, action: .trigger)
        try bench.call(.deviceSetIRQs, wire(set.write), descriptors: [event.descriptor.raw])
        try bench.write(UInt32(0xabcd), at: 4)
        client.socket.shutDown()
        let next = try reconnect()
        #expect(try next.read(UInt32.self, at: 4) == 0xabcd)
        #expect(try next.transfer(Bench.fill, to: 0, length: 1) == 3)
        try next.write(UInt32(0), at: 0x10)
        #expect(event.consume() == 0)
        #expect(memory.file.descriptor.openCount(settlingAt: 1) == 1)
        try next.map(memory)
    }

    @Test func aPollingServerAnswersAndStops() throws {
        var configuration = Server.Configuration()
        configuration.isPolling = true
        let bench = try Bench(configuration: configuration)
        try bench.write(UInt32(3), at: 4)
        #expect(try bench.read(UInt32.self, at: 4) == 3)
        bench.device.onThread { _, _ in }
        try bench.expectAlive()
        bench.device.stop()
        #expect(try bench.client.receive() == nil)
    }

    @Test func aServerThatStopsClosesTheConnection() throws {
        try client.send(.regionRead, Array(read().dropLast()))
        bench.device.stop()
        while try client.receive() != nil {}
        bench.device.stop()
    }

    @Test func anEventOfTheDevicesMayUseTheClientsMemoryWhileMessagesArrive() throws {
        try bench.mapRemote(address: 0x10000, size: 0x1000)
        let device = bench.device
        let result = Shared<[UInt8]>([])
        for round in 0..<200 as Range<UInt32> {
            let event = try Linux.Thread(name: "event") {
                let bytes = device.onThread { function, _ in
                    var bytes = [UInt8](repeating: 0, count: 4)
                    var span = bytes.mutableSpan
                    var raw = span.mutableBytes
                    try? function.host.memory.read(at: 0x10000, into: &raw)
                    return bytes
                }
                result.value.withLock { $0 = bytes }
            }
            try client.send(.regionWrite, write(round))
            try client.send(.regionRead, read())
            var replies: [RawClient.Message] = []
            for _ in 0..<3 {
                let received = try #require(try client.receive())
                if received.header.type == .command {
                    let answer = received.payload + wire(~round)
                    try client.send(message(.dmaRead, id: received.header.id, answer, flags: .reply))
                } else {
                    replies.append(received)
                }
            }
            event.join()
            #expect(result.value.withLock { $0 } == wire(~round))
            #expect(replies.count == 2 && replies.last?.payload.number(UInt32.self, at: 16) == round)
        }
    }

    private final class Shared<Value: Sendable>: Sendable {
        let value: Mutex<Value>

        init(_ value: Value) {
            self.value = Mutex(value)
        }
    }

    // MARK: Memory that the device holds

    /// A pin, kept for the device's thread, which alone uses it.
    private final class Held: @unchecked Sendable {
        var pin: Pin?
    }

    private func hold(_ memory: GuestRAM) throws -> Held {
        try bench.map(memory)
        let held = Held()
        let address = memory.address
        bench.device.onThread { function, _ in
            held.pin = try? function.host.memory.pin(address: address, size: 4096, access: .read)
        }
        return held
    }

    private let unmap = wire(UInt32(24), UInt32(0), UInt64(0), UInt64(4096))

    @Test func anUnmapWaitsForTheDeviceAndNothingOvertakesIt() throws {
        let held = try hold(GuestRAM(at: 0, size: 4096))
        try client.send(.dmaUnmap, unmap)
        try client.send(.regionWrite, write(9))
        bench.device.onThread { _, _ in }
        #expect(try !client.socket.waitReadable(within: .zero))
        bench.device.onThread { _, _ in held.pin = nil }
        #expect(try client.receive()?.header.command == Command.dmaUnmap.rawValue)
        #expect(try client.receive()?.header.command == Command.regionWrite.rawValue)
        #expect(try bench.read(UInt32.self, at: 4) == 9)
    }

    @Test func aClientMayLeaveWhileItsUnmapWaits() throws {
        let held = try hold(GuestRAM(at: 0, size: 4096))
        try client.send(.dmaUnmap, unmap)
        bench.device.onThread { _, _ in }
        client.socket.shutDown()
        let next = try reconnect()
        try next.expectAlive()
        bench.device.onThread { _, _ in held.pin = nil }
        try next.expectAlive()
    }

    @Test func thereAreAsManyMapsAsAnnounced() throws {
        let memory = try GuestRAM(at: 0, size: 4096)
        let count: UInt64 = 65_535
        for number in 0..<count {
            let map = DMAMap(flags: .read, address: number * 8192, length: 4096)
            let descriptors = number % 1024 == 0 ? [memory.file.descriptor.raw] : []
            try client.send(.dmaMap, wire(room: 32, map.write), descriptors: descriptors, flags: .noReply)
        }
        let more = DMAMap(flags: .read, address: count * 8192, length: 4096)
        try bench.expectRefusal(.noSpace, of: .dmaMap, wire(more.write))
        try bench.call(.dmaUnmap, unmap)
        try bench.call(.dmaMap, wire(more.write))
    }

    @Test func aFileThatShrinksFailsTheAccessAlone() throws {
        let file = try shrinkableMemory(size: 8192)
        let map = DMAMap(flags: [.read, .write], address: 0, length: 8192)
        try bench.call(.dmaMap, wire(map.write), descriptors: [file.raw])
        #expect(try bench.transfer(Bench.fill, to: 0, length: 8192) == 0)
        #expect(ftruncate(file.raw, 4096) == 0)
        #expect(try bench.transfer(Bench.fill, to: 4096, length: 1) == 5)
        #expect(try bench.transfer(Bench.fill, to: 0, length: 4096) == 0)
    }
}
