import Linux
import Testing

/// Both ends of a socket pair.
private func ends() throws -> (ByteStream, ByteStream) {
    let pair = try UnixSocket.pair()
    return (try ByteStream(pair.first), try ByteStream(pair.second))
}

private func receive(from stream: ByteStream, limit: Int = .max) -> (ByteStream.Transfer, [UInt8]) {
    var buffer = [UInt8](repeating: 0, count: 8)
    var span = buffer.mutableSpan
    var bytes = span.mutableBytes
    let transfer = stream.receive(into: &bytes, limit: limit)
    return (transfer, buffer)
}

@Suite struct ByteStreamTests {
    @Test func bytesGoThroughAsFarAsTheLimit() throws {
        let (near, far) = try ends()
        let sent: [UInt8] = [1, 2, 3]
        #expect(near.send(sent.span.bytes) == .bytes(3))
        #expect(receive(from: far, limit: 2) == (.bytes(2), [1, 2, 0, 0, 0, 0, 0, 0]))
        #expect(receive(from: far) == (.bytes(1), [3, 0, 0, 0, 0, 0, 0, 0]))
    }

    @Test func nothingThereDoesNotBlock() throws {
        let (near, far) = try ends()
        #expect(receive(from: near).0 == .blocked)
        withExtendedLifetime(far) {}
    }

    @Test func aPeerThatDoesNotReadDoesNotBlock() throws {
        let (near, far) = try ends()
        let bytes = [UInt8](repeating: 0, count: 1 << 16)
        var transfer = ByteStream.Transfer.bytes(0)
        for _ in 0..<1000 where transfer != .blocked { transfer = near.send(bytes.span.bytes) }
        #expect(transfer == .blocked)
        withExtendedLifetime(far) {}
    }

    @Test func aPeerThatLeftEndsBothDirections() throws {
        let near = try ends().0
        #expect(near.send([1].span.bytes) == .ended)
        #expect(receive(from: near).0 == .ended)
    }
}
