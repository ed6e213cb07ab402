import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUserClient

/// Servers that would keep a client waiting without end.
@Suite struct DeadlineTests {
    private static func connect(_ socket: consuming UnixSocket) throws(ClientError) {
        _ = try Client(socket, configuration: configuration)
    }

    private static var configuration: Client.Configuration {
        var configuration = Client.Configuration()
        configuration.patience = nil
        configuration.deadline = .now + .milliseconds(100)
        return configuration
    }

    @Test func aServerThatSaysNothingIsGivenUp() throws {
        let pair = try UnixSocket.pair()
        let silent = try UnixSocket(owning: pair.second.descriptor.duplicate())
        #expect(throws: ClientError.timedOut(.version)) {
            try Self.connect(UnixSocket(owning: pair.first.descriptor.duplicate()))
        }
        #expect(try !silent.isHungUp())
    }

    /// Messages that are no answer, as fast as the client takes them.
    @Test(arguments: [
        message(.dmaRead, wire(UInt64(0), UInt64(4096)), flags: .noReply),
        message(.version, id: 0xfff, flags: .reply), message(command: 0xffff, flags: 0xf),
    ])
    func aServerThatKeepsTheClientBusyIsGivenUp(_ message: [UInt8]) throws {
        let pair = try UnixSocket.pair()
        let other = Other(try UnixSocket(owning: pair.second.descriptor.duplicate()))
        let busy = try Thread(name: "busy server") {
            while (try? other.socket.send(message.span.bytes, within: .seconds(10))) != nil {}
        }
        #expect(throws: ClientError.timedOut(.version)) {
            try Self.connect(UnixSocket(owning: pair.first.descriptor.duplicate()))
        }
        pair.first.shutDown()
        busy.join()
    }

    @Test func aServerThatAcceptsNobodyIsGivenUp() throws {
        let path = "/tmp/fake-guest-\(UInt32.random(in: 0 ... .max)).sock"
        let listener = try UnixListener(path: path, backlog: 0)
        let first = try UnixSocket(connectingTo: listener.path)
        #expect(throws: ClientError.timedOut(.version)) {
            try Client(path: listener.path, configuration: Self.configuration)
        }
        #expect(try !first.isHungUp())
    }

    @Test func aDeadlineThatHasPassedIsNotWaitedFor() throws {
        let device = try ServedDevice("exerciser")
        var configuration = Client.Configuration()
        configuration.deadline = .now
        #expect(throws: ClientError.timedOut(.version)) {
            try Client(path: device.path, configuration: configuration)
        }
    }

    /// A socket that two threads may hold.
    private final class Other: Sendable {
        let socket: UnixSocket

        init(_ socket: consuming UnixSocket) {
            self.socket = socket
        }
    }
}
