import FakeGuest
import Glibc
import Linux
import Synchronization
import Testing
import VFIOUserClient
import VFIOUserServer

/// Who may be a client. Only root can be somebody else.
@Suite(.enabled(if: geteuid() == 0, "Only root can connect as another user."), .unobserved)
struct PeerTests {
    private final class Recorder: Sendable {
        let events = Mutex<[Server.Event]>([])
        var all: [Server.Event] { events.withLock { $0 } }
    }

    private let recorder = Recorder()
    private let device: ServedDevice

    init() throws {
        var configuration = Server.Configuration()
        configuration.allowedPeers = AllowedPeers(users: [1001], groups: [2002])
        configuration.onEvent = { [recorder] event in recorder.events.withLock { $0.append(event) } }
        device = try ServedDevice("exerciser", mode: 0o666, configuration: configuration)
    }

    private func client(_ user: UInt32, _ group: UInt32 = 1, groups: [UInt32] = []) throws -> RawClient {
        try RawClient(path: device.path, user: user, group: group, groups: groups)
    }

    private func deniedClients() -> UInt64 {
        device.onThread { _, server in server.statistics.deniedClients }
    }

    private func expectDenial(_ client: RawClient, sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try client.negotiate().errno == .permissionDenied, sourceLocation: sourceLocation)
        #expect(try client.receive() == nil, sourceLocation: sourceLocation)
    }

    @Test(
        arguments: [
            (1001, 1, []), (1002, 2002, []), (1002, 1, [2002]), (1002, 1, Array(2000..<2100)), (0, 1, []),
        ] as [(UInt32, UInt32, [UInt32])])
    func whoeverIsAllowedIsServed(user: UInt32, group: UInt32, groups: [UInt32]) throws {
        let client = try client(user, group, groups: groups)
        #expect(try client.negotiate().errno == nil)
        let peer = UnixSocket.Peer(pid: getpid(), uid: user, gid: group)
        #expect(recorder.all == [.clientConnected(peer)])
        #expect(deniedClients() == 0)
    }

    @Test(
        arguments: [(1002, 1, []), (2002, 1001, []), (1002, 1, [1001, 2001, 2003])] as [(UInt32, UInt32, [UInt32])])
    func anybodyElseIsDeniedAndSaidSo(user: UInt32, group: UInt32, groups: [UInt32]) throws {
        try expectDenial(client(user, group, groups: groups))
        let event = try #require(recorder.all.first)
        #expect(event == .clientDenied(UnixSocket.Peer(pid: getpid(), uid: user, gid: group)))
        #expect("\(event)" == "uid \(user) (process \(getpid())) may not use this vGPU.")
        #expect(deniedClients() == 1)
        let bench = try Bench(device, client(1001))
        try bench.client.negotiate()
        try bench.expectAlive()
    }

    @Test func whoIsDeniedIsToldSoAlsoBesideAClient() throws {
        let bench = try Bench(device, client(1001))
        try bench.client.negotiate()
        try expectDenial(client(1002))
        #expect(try client(1001).negotiate().errno == .resourceBusy)
        try bench.expectAlive()
        #expect(device.onThread { _, server in server.statistics.refusedClients } == 1)
        #expect(deniedClients() == 1)
    }

    @Test func aStormOfTheDeniedNeitherTakesThePlaceNorEndsARefusal() throws {
        let silent = try (0..<100).map { _ in try client(1002) }
        let bench = try Bench(device, client(1001))
        try bench.client.negotiate()
        let second = try client(1001)
        let more = try (0..<100).map { _ in try client(1002) }
        try bench.expectAlive()
        #expect(try second.negotiate().errno == .resourceBusy)
        // The last ones are still waited for, the first ones are cut off.
        #expect(try #require(more.last).negotiate().errno == .permissionDenied)
        #expect(try #require(silent.first).receive() == nil)
        try bench.expectAlive()
        #expect(deniedClients() == 200)
    }

    @Test func withoutAListWhoeverMayOpenTheSocketIsServed() throws {
        let open = try ServedDevice("exerciser", mode: 0o666)
        let client = try RawClient(path: open.path, user: 1002, group: 1)
        #expect(try client.negotiate().errno == nil)
    }

    @Test func anEmptyListIsForRootAndTheOwnerAlone() throws {
        var configuration = Server.Configuration()
        configuration.allowedPeers = AllowedPeers()
        let device = try ServedDevice("exerciser", mode: 0o666, configuration: configuration)
        try expectDenial(RawClient(path: device.path, user: 1001, group: 2002))
        #expect(try RawClient(path: device.path).negotiate().errno == nil)
    }
}
