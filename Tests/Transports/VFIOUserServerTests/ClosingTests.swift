import FakeGuest
import Glibc
import Linux
import LingeringSocket
import Testing
import VFIO
import VFIOUserClient

/// Whoever sends a descriptor whose close hangs keeps nobody waiting but themselves. Each connection may carry some
/// here, as on kernels that let a socket refuse none.
@Suite(.unobserved) struct ClosingTests {
    private let bench: Bench

    init() throws {
        bench = try Bench(ServedDevice("exerciser", takesDescriptors: true))
    }

    /// Another who connects, and gets no further.
    private func stranger(_ count: Int = 1) throws -> RawClient {
        let stranger = try RawClient(path: bench.device.path, patience: .seconds(60))
        let offer = message(.version, wire(UInt16(0), UInt16(0)) + Array(RawClient.offer.utf8) + [0])
        try send(offer, hanging: count, from: stranger)
        return stranger
    }

    /// Sends descriptors whose close hangs, as soon as no other refers to the same.
    private func send(_ bytes: [UInt8], hanging count: Int, from client: RawClient) throws {
        let socket = try LingeringSocket()
        held.sockets.append(socket)
        // Nothing is received meanwhile.
        let isSent = bench.device.onThread { [lent = Lent(client)] _, _ in
            let isSent = (try? lent.client.send(bytes, descriptors: Array(repeating: socket.raw, count: count))) != nil
            socket.handOver()
            return isSent
        }
        #expect(isSent)
    }

    private final class Held {
        var sockets: [LingeringSocket] = []
    }
    private let held = Held()

    @Test(arguments: [1, 64, 65, 253])
    func aStrangerKeepsNobody(_ count: Int) throws {
        for _ in 0..<3 {
            let stranger = try stranger(count)
            #expect(try stranger.receive()?.errno == .resourceBusy)
            #expect(try stranger.receive() == nil)
            try bench.expectAlive()
        }
    }

    @Test func aStrangerThatLeavesKeepsNobody() throws {
        for _ in 0..<3 { try stranger().socket.shutDown() }
        try bench.expectAlive()
    }

    @Test(arguments: [Command.dmaMap, .deviceSetIRQs, .deviceGetInfo], [1, 64, 65, 253])
    func theClientKeepsNotEvenItself(_ command: Command, _ count: Int) throws {
        let payload =
            switch command {
            case .dmaMap: wire(DMAMap(flags: .read, address: 0, length: 4096).write)
            case .deviceSetIRQs: wire(IRQSet(kind: .msix, count: 1, data: .eventfd, action: .trigger).write)
            default: wire(UInt32(16), UInt32(0), UInt32(0), UInt32(0))
            }
        for _ in 0..<3 {
            try send(message(command, payload), hanging: count, from: bench.client)
            _ = try bench.client.receive()
            try bench.expectAlive()
        }
    }

    /// Every close of such a file hangs, that of the last reference or not.
    @Test(.enabled(if: HangingFile.isPossible, "No file system of FUSE can be mounted here."))
    func aFileOfAFileSystemThatAPeerServesKeepsNobody() throws {
        let hanging = try #require(HangingFile(.close))
        let file = Descriptor(owning: open(hanging.path, O_RDWR | O_CLOEXEC))
        // Before it is closed here.
        defer { hanging.end() }
        for _ in 0..<3 {
            let stranger = try RawClient(path: bench.device.path, patience: .seconds(60))
            try stranger.send(message(.version), descriptors: [file.raw])
            #expect(try stranger.receive()?.errno == .resourceBusy)
            try bench.client.send(.deviceGetInfo, descriptors: [file.raw])
            #expect(try bench.client.receive()?.errno == .invalidArgument)
            let map = DMAMap(flags: .read, address: 0, length: 4096)
            // Its bytes go by messages.
            try bench.call(.dmaMap, wire(map.write), descriptors: [file.raw])
            try bench.call(.dmaUnmap, wire(DMAUnmap(address: 0, length: 4096).write))
        }
        try bench.expectAlive()
    }

    @Test func whatTheClientLeavesUnreadKeepsNeitherTheNextNorStrangers() throws {
        try bench.mapRemote(address: 0x10000, size: 0x1000)
        try bench.startTransfer(Bench.load, from: 0x10000, length: 4)
        let socket = try LingeringSocket()
        try bench.client.send(.deviceReset, descriptors: [socket.raw])
        socket.handOverAside()
        bench.client.socket.shutDown()
        defer { withExtendedLifetime(socket) {} }
        let next = try RawClient(path: bench.device.path, patience: .seconds(60))
        #expect(try next.negotiate().errno == nil)
        #expect(try RawClient(path: bench.device.path).negotiate().errno == .resourceBusy)
    }

    /// Has others come until so many lie behind a close that hangs.
    private func fill(whileThereIs hasRoom: @escaping @Sendable (ClosingLane) -> Bool) throws {
        let first = try stranger()
        #expect(try first.receive()?.errno == .resourceBusy)
        while bench.device.onThread({ function, _ in hasRoom(function.host.loop.strangersLane) }) {
            #expect(try RawClient(path: bench.device.path, patience: .seconds(60)).negotiate().errno == .resourceBusy)
        }
    }

    @Test func whenTheStrangersLaneIsFullTheNextClientIsServed() throws {
        try fill { $0.hasRoom }
        for _ in 0..<3 { #expect(try RawClient(path: bench.device.path).negotiate().errno == .resourceBusy) }
        bench.client.socket.shutDown()
        #expect(try RawClient(path: bench.device.path, patience: .seconds(60)).negotiate().errno == nil)
    }

    @Test func beyondTheBoundStrangersWaitAndTheClientGoesOn() throws {
        try fill { $0.hasRoomForConnections }
        let late = try RawClient(path: bench.device.path, patience: .seconds(60))
        try late.send(message(.version))
        for _ in 0..<100 { try bench.expectAlive() }
        #expect(try !late.socket.waitReadable(within: .zero))
        held.sockets = []
        #expect(try late.receive()?.errno == .resourceBusy)
    }
}
