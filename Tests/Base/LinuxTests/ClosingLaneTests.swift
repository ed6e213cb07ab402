import FakeGuest
import Glibc
import LingeringSocket
import Linux
import Programs
import Testing

@Suite struct ClosingLaneTests {
    private let file: MemoryFile

    init() throws {
        file = try MemoryFile(name: "in a lane", size: 4096)
    }

    /// Drops a descriptor of ``file``.
    private func drop(in lane: ClosingLane) throws {
        _ = try file.descriptor.duplicate().closed(in: lane)
    }

    @Test func whatIsDroppedIsClosedSoon() throws {
        let lane = ClosingLane(name: "lane")
        for _ in 0..<100 { try drop(in: lane) }
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
    }

    @Test func whatIsDroppedIsClosedByAThreadThatStaysToo() throws {
        let lane = ClosingLane(name: "lane")
        try lane.start()
        for _ in 0..<10 {
            try drop(in: lane)
            #expect(file.descriptor.openCount(settlingAt: 1) == 1)
        }
    }

    @Test func aLaneWithoutAThreadHasClosedWhatIsDropped() throws {
        let lane = ClosingLane(name: "lane", closesAtOnce: true)
        try lane.start()
        try drop(in: lane)
        #expect(file.descriptor.openCount() == 1)
    }

    @Test func aCloseThatHangsKeepsItsOwnLaneOnlyAndThatIsBounded() throws {
        let (stuck, free) = (ClosingLane(name: "stuck"), ClosingLane(name: "free"))
        do {
            let socket = try LingeringSocket()
            _ = Descriptor(owning: socket.relinquish(), closedIn: stuck)
            while stuck.hasRoom { try drop(in: stuck) }
            #expect(file.descriptor.openCount() == ClosingLane.capacity)
            try drop(in: free)
            #expect(file.descriptor.openCount(settlingAt: ClosingLane.capacity) == ClosingLane.capacity)
            #expect(!stuck.waitForRoom(within: .milliseconds(1)))
            withExtendedLifetime(socket) {}
        }
        #expect(stuck.waitForRoom(within: .seconds(60)))
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
    }

    @Test func whoWaitsForRoomIsToldOnce() throws {
        let lane = ClosingLane(name: "stuck")
        let event = try EventFD()
        lane.signalRoom(to: event)
        #expect(event.consume() == 1, "there is room")
        do {
            let socket = try LingeringSocket()
            _ = Descriptor(owning: socket.relinquish(), closedIn: lane)
            while lane.hasRoom { try drop(in: lane) }
            lane.signalRoom(to: event)
            #expect(event.consume() == 0)
            withExtendedLifetime(socket) {}
        }
        #expect(event.wait(within: .seconds(60)) == 1)
        #expect(lane.hasRoom)
        #expect(file.descriptor.openCount(settlingAt: 1) == 1)
        #expect(event.consume() == 0)
    }

    @Test func aMappingOfWhatAPeerHasSentGoesThereToo() throws {
        let lane = ClosingLane(name: "lane")
        let socket = try LingeringSocket()
        do {
            let descriptor = try file.descriptor.duplicate().closed(in: lane)
            let mapping = try Mapping(of: descriptor, size: 4096)
            _ = Descriptor(owning: socket.relinquish(), closedIn: lane)
            // The lane hangs: it is there until that ends.
            let base = mapping.base
            _ = consume mapping
            #expect(base.load(as: UInt8.self) == 0)
        }
        withExtendedLifetime(socket) {}
    }

    @Test func aPeerHasOneLaneWhileItHangs() throws {
        let socket = try LingeringSocket()
        _ = Descriptor(owning: socket.relinquish(), closedIn: .of(peer: "/tmp/one"))
        let lane = ClosingLane.of(peer: "/tmp/one")
        #expect(ClosingLane.of(peer: "/tmp/one") === lane)
        #expect(ClosingLane.of(peer: "/tmp/other") !== lane)
        withExtendedLifetime(socket) {}
    }

    /// What comes with bytes that are read as a stream belongs to the socket's lane.
    @Test func aStreamOfBytesClosesNothingThatComesAlong() throws {
        let pair = try UnixSocket.pair(closedIn: ClosingLane(name: "lane"))
        pair.first.setTakesDescriptors(true)
        let near = try ByteStream(pair.first)
        for _ in 0..<3 {
            let socket = try LingeringSocket()
            let byte: [UInt8] = [7]
            try pair.second.send(byte.span.bytes, descriptors: Array(repeating: socket.raw, count: 253))
            socket.handOver()
            var buffer = [UInt8](repeating: 0, count: 8)
            var span = buffer.mutableSpan
            var bytes = span.mutableBytes
            #expect(near.receive(into: &bytes) == .bytes(1))
            withExtendedLifetime(socket) {}
        }
    }
}

/// What the kernel does about descriptors that nobody wants, since Linux 6.16.
@Suite(.enabled(if: kernelRefusesDescriptors, "This kernel has no SO_PASSRIGHTS."))
struct PassedDescriptorTests {
    private let path = temporaryPath("passed")
    private let bytes: [UInt8] = [1]

    @Test func aListenersConnectionsTakeNoneUntilTheyAreToldTo() throws {
        let listener = try UnixListener(path: path)
        let client = try UnixSocket(connectingTo: path)
        #expect(throws: Errno.notPermitted) { try client.send(bytes.span.bytes, descriptors: [0]) }
        guard let accepted = try listener.accept() else { throw Errno.noSuchProcess }
        #expect(throws: Errno.notPermitted) { try client.send(bytes.span.bytes, descriptors: [0]) }
        accepted.setTakesDescriptors(true)
        try client.send(bytes.span.bytes, descriptors: [0])
    }

    @Test func aClientTakesNoneUnlessItWantsSome() throws {
        let listener = try UnixListener(path: path)
        for wanted in [false, true] {
            let client = try UnixSocket(connectingTo: path)
            if wanted { client.setTakesDescriptors(true) }
            guard let accepted = try listener.accept() else { throw Errno.noSuchProcess }
            if wanted {
                try accepted.send(bytes.span.bytes, descriptors: [0])
            } else {
                #expect(throws: Errno.notPermitted) { try accepted.send(bytes.span.bytes, descriptors: [0]) }
            }
            withExtendedLifetime(client) {}
        }
    }
}

private let kernelRefusesDescriptors = (try? UnixSocket.pair())?.first.setTakesDescriptors(false) ?? false
