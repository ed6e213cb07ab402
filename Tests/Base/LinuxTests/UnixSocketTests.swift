import Glibc
import Linux
import Programs
import Testing

@Suite struct UnixSocketTests {
    /// More than a socket's buffer holds, and more than any processor copies in a millisecond.
    private let bytes = [UInt8](repeating: 1, count: 64 << 20)

    @Test func aPeerThatMakesRoomBitByBitDoesNotExtendTheTime() throws {
        let pair = try UnixSocket.pair()
        let raw = pair.second.descriptor.raw
        let reader = try Linux.Thread(name: "reader") { drain(raw) }
        #expect(throws: Errno.timedOut) { try pair.first.send(bytes.span.bytes, within: .milliseconds(1)) }
        // The reader's end comes with the connection's.
        reader.join()
    }

    @Test func aListenerThatHangsStillHasItsPath() throws {
        let path = temporaryPath("hanging-listener")
        let listener = try UnixListener(path: path, backlog: 0)
        let first = try UnixSocket(connectingTo: path)
        #expect(throws: Errno.addressInUse) { try UnixListener(path: path) }
        first.shutDown()
        #expect(listener.path == path)
    }

    /// Whoever was killed while it started a program has left its listener to that, until the program is there.
    @Test func aListenerWhoseProcessHasEndedIsReplacedWhenItsHeirLetsGo() throws {
        let path = temporaryPath("inherited-listener")
        let heir = try listener(at: path)
        let releasing = try Linux.Thread(name: "heir") {
            // Somebody looks who is there.
            _ = try? waitReadable([heir], within: nil)
            close(heir)
        }
        let listener = try UnixListener(path: path)
        releasing.join()
        #expect(listener.path == path)
    }

    @Test func aListenerThatItsHeirKeepsIsInUse() throws {
        let path = temporaryPath("kept-listener")
        let heir = Descriptor(owning: try listener(at: path))
        defer { unlink(path) }
        #expect(throws: Errno.addressInUse) { try UnixListener(path: path) }
        #expect(try waitReadable([heir.raw], within: .zero) == [true])
    }

    /// A socket that a process listens at which has ended, while this one has it too.
    private func listener(at path: String) throws -> Int32 {
        let raw = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        // Of what every Debian has, this alone can do it.
        let script = "open(S, '+<&=', 3) && bind(S, pack_sockaddr_un($ARGV[0])) && listen(S, 4) || exit 1"
        let process = try ChildProcess.spawn("/usr/bin/perl", ["-MSocket", "-e", script, path], passing: [raw])
        var status: Int32 = 0
        #expect(waitpid(process, &status, 0) == process && status == 0)
        return raw
    }

    @Test func nothingFollowsAMessageOfWhichAPartHasGone() throws {
        let pair = try UnixSocket.pair()
        #expect(throws: Errno.timedOut) { try pair.first.send(bytes.span.bytes, within: .milliseconds(1)) }
        #expect(throws: Errno.brokenPipe) { try pair.first.send([UInt8](repeating: 2, count: 1).span.bytes) }
        drain(pair.second.descriptor.raw)
    }

    @Test func aMessageOfWhichNothingHasGoneLeavesTheConnectionAlone() throws {
        let pair = try UnixSocket.pair()
        while try pair.first.sendAvailable([UInt8](repeating: 1, count: 4096).span.bytes) > 0 {}
        #expect(throws: Errno.timedOut) { try pair.first.send([2], within: .zero) }
        let buffer = try PageBuffer(count: 1 << 20)
        var descriptors = ReceivedDescriptors()
        _ = try pair.second.receive(into: buffer, from: 0, descriptors: &descriptors, blocking: false)
        #expect(try pair.first.sendAvailable([UInt8](repeating: 3, count: 1).span.bytes) == 1)
    }
}

extension UnixSocket {
    fileprivate borrowing func send(_ bytes: [UInt8], within limit: Duration) throws(Errno) {
        try send(bytes.span.bytes, within: limit)
    }
}

/// Receives until the connection ends.
private func drain(_ raw: Int32) {
    var piece = [UInt8](repeating: 0, count: 4096)
    let count = piece.count
    while piece.withUnsafeMutableBytes({ recv(raw, $0.baseAddress, count, 0) }) > 0 {}
}
