import FakeGuest
import Glibc
import Linux
import Testing
import VFIO

/// Replies that a client leaves in its socket, with the descriptors in them.
@Suite(.unobserved) struct UntakenTests {
    /// Asks for the mapped area of BAR 2: a reply with a descriptor.
    private static let info = wire(UInt32(4096), UInt32(0), UInt32(2), UInt32(0), UInt64(0), UInt64(0))

    @Test func aClientThatTakesNoDescriptorsGetsNoMore() throws {
        let bench = try Bench()
        for _ in 0..<70 { try bench.client.send(.deviceGetRegionInfo, Self.info) }
        let replies = try (0..<70).map { _ in try #require(try bench.client.receive()) }
        let errors = replies.map(\.errno)
        // Some may have been taken while others were sent.
        #expect(errors.prefix(64).allSatisfy { $0 == nil })
        #expect(errors.allSatisfy { $0 == nil || $0 == .tooManyReferences })
        #expect(replies.allSatisfy { $0.files.count == ($0.errno == nil ? 1 : 0) })
        #expect(try bench.call(.deviceGetRegionInfo, Self.info).files.count == 1)
    }

    @Test func whatEarlierClientsHaveLeftKeepsTheNextOneOut() throws {
        let device = try ServedDevice("exerciser")
        var before: [RawClient] = []
        for _ in 0..<4 {
            let client = try RawClient(path: device.path)
            try client.negotiate()
            try client.send(.deviceGetRegionInfo, Self.info)
            // Its reply is there, and stays.
            try #require(try client.socket.waitReadable(within: .seconds(10)))
            shutdown(client.socket.descriptor.raw, Int32(SHUT_WR))
            before.append(client)
            while device.onThread({ _, server in server.hasClient }) {}
        }
        let next = try RawClient(path: device.path)
        try next.send(.version, wire(UInt16(0), UInt16(0)))
        #expect(!device.onThread { _, server in server.hasClient })
        #expect(try !next.socket.waitReadable(within: .zero))
        before.removeFirst()
        #expect(try next.receive()?.errno == nil)
        withExtendedLifetime(before) {}
    }
}
