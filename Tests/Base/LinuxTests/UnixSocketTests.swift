import Glibc
import Linux
import Testing

@Suite struct UnixSocketTests {
    /// More than a socket's buffer holds, and more than any processor copies in a millisecond.
    private let bytes = [UInt8](repeating: 1, count: 64 << 20)

    @Test func aPeerThatMakesRoomBitByBitDoesNotExtendTheTime() throws {
        let pair = try UnixSocket.pair()
        let raw = pair.second.descriptor.raw
        let reader = try Linux.Thread(name: "reader") { drain(raw) }
        #expect(throws: Errno.timedOut) { try pair.first.send(bytes.span.bytes, milliseconds: 1) }
        // The reader's end comes with the connection's.
        reader.join()
    }

    @Test func aListenerThatHangsStillHasItsPath() throws {
        let path = "/tmp/hanging-listener-\(getpid()).sock"
        let listener = try UnixListener(path: path, backlog: 0)
        let first = try UnixSocket(connectingTo: path)
        #expect(throws: Errno.addressInUse) { try UnixListener(path: path) }
        first.shutDown()
        #expect(listener.path == path)
    }

    @Test func nothingFollowsAMessageOfWhichAPartHasGone() throws {
        let pair = try UnixSocket.pair()
        #expect(throws: Errno.timedOut) { try pair.first.send(bytes.span.bytes, milliseconds: 1) }
        #expect(throws: Errno.brokenPipe) { try pair.first.send([UInt8](repeating: 2, count: 1).span.bytes) }
        drain(pair.second.descriptor.raw)
    }

    @Test func aMessageOfWhichNothingHasGoneLeavesTheConnectionAlone() throws {
        let pair = try UnixSocket.pair()
        while try pair.first.sendAvailable([UInt8](repeating: 1, count: 4096).span.bytes) > 0 {}
        #expect(throws: Errno.timedOut) { try pair.first.send([2], milliseconds: 0) }
        let buffer = try PageBuffer(count: 1 << 20)
        var descriptors = ReceivedDescriptors()
        _ = try pair.second.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: false)
        #expect(try pair.first.sendAvailable([UInt8](repeating: 3, count: 1).span.bytes) == 1)
    }
}

extension UnixSocket {
    fileprivate borrowing func send(_ bytes: [UInt8], milliseconds: Int32) throws(Errno) {
        try send(bytes.span.bytes, milliseconds: milliseconds)
    }
}

/// Receives until the connection ends.
private func drain(_ raw: Int32) {
    var piece = [UInt8](repeating: 0, count: 4096)
    let count = piece.count
    while piece.withUnsafeMutableBytes({ recv(raw, $0.baseAddress, count, 0) }) > 0 {}
}
