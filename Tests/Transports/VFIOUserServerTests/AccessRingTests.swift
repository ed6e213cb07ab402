import FakeGuest
import Linux
import Testing
import VFIO
import SeededRandom
import VFIOUserClient
import VFIOUserServer

/// Region accesses through shared memory, by a client that keeps the ring's rules and by one that doesn't.
@Suite struct AccessRingTests {
    private static let read: UInt32 = 1
    private static let write: UInt32 = 2

    let bench: Bench
    let ring: RawRing
    var client: RawClient { bench.client }

    init() throws {
        let device = try ServedDevice("exerciser")
        let client = try RawClient(path: device.path)
        ring = try RawRing(client)
        bench = Bench(device, client)
    }

    // MARK: Offer and answer

    @Test(arguments: [
        #"{"capabilities":{"max_msg_fds":8}}"#,
        #"{"capabilities":{"max_msg_fds":8,"access_ring":{"version":2}}}"#,
        #"{"capabilities":{"max_msg_fds":2,"access_ring":{"version":1}}}"#,
        #"{"capabilities":{"max_msg_fds":3,"twin_socket":{"supported":true},"access_ring":{"version":1}}}"#,
        RawClient.offer,
    ])
    func whoDoesNotOfferItOrCannotTakeItGetsNone(offer: String) throws {
        let device = try ServedDevice("exerciser")
        let client = try RawClient(path: device.path)
        let reply = try client.negotiate(offer)
        #expect(reply.errno == nil)
        #expect(!String(decoding: reply.payload, as: UTF8.self).contains("access_ring"))
        #expect(reply.files.count <= 1)
    }

    @Test(arguments: [#"{"capabilities":{"access_ring":7}}"#])
    func anOfferThatIsNoObjectIsRefused(offer: String) throws {
        let device = try ServedDevice("exerciser")
        let client = try RawClient(path: device.path)
        #expect(try client.negotiate(offer).errno == .invalidArgument)
    }

    @Test func withATwinSocketItsDescriptorsComeBehind() throws {
        let device = try ServedDevice("exerciser")
        let client = try RawClient(path: device.path)
        let reply = try client.negotiate(
            #"{"capabilities":{"max_msg_fds":8,"twin_socket":{"supported":true},"access_ring":{"version":1}}}"#)
        #expect(reply.files.count == 4)
        let answer = try Capabilities.Message(reply.payload.span.bytes).capabilities
        #expect(answer.twinSocket == .descriptor(index: 0))
        #expect(answer.accessRing == .descriptors(index: 1))
    }

    // MARK: Accesses

    @Test func writesAndReadsReachTheDeviceInTheirOrder() throws {
        for number in 1...1000 as ClosedRange<UInt32> {
            ring.put(kind: Self.write, data: number)
            let entry = ring.put(kind: Self.read)
            #expect(ring.status(of: entry) == 0)
            #expect(ring[entry, 6] == number)
        }
    }

    @Test func aSleepingServerIsWokenAndAnIdleOneSleeps() throws {
        let entry = ring.put(kind: Self.read, offset: 0)
        #expect(ring.status(of: entry) == 0)
        #expect(ring[entry, 6] == 0x0001_11e9)
        // The second one finds the server asleep again.
        try bench.expectAlive()
        #expect(ring.status(of: ring.put(kind: Self.read, offset: 0)) == 0)
    }

    @Test func configurationSpaceIsReadThroughItToo() throws {
        let entry = ring.put(kind: Self.read, region: 7, offset: 0, count: 40)
        #expect(ring.status(of: entry) == 0)
        #expect(ring[entry, 6] == 0x11e9_1234)
    }

    @Test func whatWasPutInBeforeAMessageComesBeforeIt() throws {
        for number in 1...200 as ClosedRange<UInt32> {
            ring.put(kind: Self.write, data: number)
            #expect(try bench.read(UInt32.self, at: 4) == number)
        }
    }

    @Test func whatIsPutInDuringALongMessageComesBehindIt() throws {
        let device = try ServedDevice("exerciser")
        let client = try RawClient(path: device.path)
        let offer = RawRing.offer.replacing(#""max_msg_fds""#, with: #""write_multiple":true,"max_msg_fds""#)
        let ring = try RawRing(client.negotiate(offer))
        let bench = Bench(device, client)
        try bench.setBusMaster(true)
        let memory = try GuestRAM(at: 0, size: 1 << 21)
        try bench.map(memory)
        try bench.write(UInt64(1) << 20, at: 0x28)
        try bench.write(UInt32(1) << 20, at: 0x30)
        // A mebibyte copied by each.
        let copy = wire(UInt64(0x38), UInt32(0), UInt32(4), UInt64(Bench.copy))
        try client.send(.regionWriteMulti, wire(UInt64(1024)) + Array(repeatElement(copy, count: 1024).joined()))
        var done: UInt64 = 0
        while done == 0 {
            done = device.onThread { function, _ in function.device.read(0, at: 0x70, width: .qword) }
        }
        let entry = ring.put(kind: Self.read, offset: 0x70, count: 4)
        #expect(try client.receive()?.payload == wire(UInt64(1024)))
        #expect(ring.status(of: entry) == 0)
        #expect(ring[entry, 6] == 1024)
    }

    @Test func accessesAreCounted() throws {
        let entry = (0..<10).map { _ in ring.put(kind: Self.read) }
        #expect(ring.status(of: entry[9]) == 0)
        let statistics = bench.device.onThread { _, server in server.statistics }
        #expect(statistics.ringAccesses == 10)
        #expect(statistics.reads[0] == 10)
        #expect(statistics.messages == 1)
    }

    // MARK: Wrong entries

    @Test(
        arguments: [
            (0, 0, 4, 4, Errno.invalidArgument), (3, 0, 4, 4, .invalidArgument), (.max, 0, 4, 4, .invalidArgument),
            (1, 0, 4, 0, .invalidArgument), (1, 0, 4, 41, .invalidArgument), (2, 0, 4, .max, .invalidArgument),
            (1, 9, 0, 4, .invalidArgument), (1, .max, 0, 4, .invalidArgument), (1, 0, 4095, 2, .invalidArgument),
            (1, 0, .max, 2, .invalidArgument), (2, 3, 0, 4, .invalidArgument),
        ] as [(UInt32, UInt32, UInt64, UInt32, Errno)])
    func aWrongEntryFailsAlone(kind: UInt32, region: UInt32, offset: UInt64, count: UInt32, errno: Errno) throws {
        let wrong = ring.put(kind: kind, region: region, offset: offset, count: count)
        let right = ring.put(kind: Self.read, offset: 0)
        #expect(ring.status(of: right) == 0)
        #expect(ring.status(of: wrong) == UInt32(errno.rawValue))
        try bench.expectAlive()
    }

    @Test func moreEntriesThanThereAreSlotsEndTheSessionAlone() throws {
        try bench.write(UInt32(0xfeed), at: 4)
        ring.tail = 257
        ring.ring()
        #expect(try client.receive() == nil)
        let next = try Bench(bench.device)
        #expect(try next.read(UInt32.self, at: 4) == 0xfeed)
    }

    @Test func aHeadThatTheClientWritesMeansNothing() throws {
        ring.head = 0x1234_5678
        let entry = ring.put(kind: Self.write, data: 7)
        try bench.expectAlive()
        #expect(ring.head == entry &+ 1)
        #expect(try bench.read(UInt32.self, at: 4) == 7)
    }

    @Test(arguments: 1...20)
    func rubbishHarmsNobodyElse(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for _ in 0..<50 {
            for number in 0..<RawRing.slots {
                for index in 0..<16 { ring[number, index] = UInt32(truncatingIfNeeded: random.next()) }
                // Rubbish that nearly makes sense gets further.
                ring[number, 0] = UInt32.random(in: 0...3, using: &random)
                ring[number, 1] = UInt32.random(in: 0...9, using: &random)
                ring[number, 3] = 0
                ring[number, 2] %= 8192
                ring[number, 4] = UInt32.random(in: 0...48, using: &random)
            }
            ring.tail &+= UInt32.random(in: 1...RawRing.slots, using: &random)
            ring.ring()
        }
        bench.client.socket.shutDown()
        let next = try Bench(bench.device)
        try next.call(.deviceReset)
        try next.expectAlive()
    }

    @Test func accessesThatWaitForTheClientDoNotMakeAllElseWaitForThem() throws {
        var configuration = Server.Configuration()
        configuration.patience = .milliseconds(20)
        let device = try ServedDevice("exerciser", configuration: configuration)
        let client = try RawClient(path: device.path)
        // The thread below alone uses it from there on.
        nonisolated(unsafe) let ring = try RawRing(client)
        let bench = Bench(device, client)
        try bench.setBusMaster(true)
        try bench.mapRemote(address: 0, size: 4096)
        try bench.write(UInt32(1), at: 0x30)
        let feeder = try Thread(name: "feeder") {
            for _ in 0..<70 { _ = ring.status(of: ring.put(kind: Self.write, offset: 0x38, data: Bench.fill)) }
        }
        #expect(try client.receive()?.header.command == Command.dmaWrite.rawValue)
        let carriedOut = device.onThread { _, server in server.statistics.ringAccesses }
        feeder.join()
        #expect(carriedOut < 60)
    }
}
