import Linux
import Testing

/// Lines, however their bytes arrive.
@Suite struct LineBufferTests {
    private func text(_ line: [UInt8]?) -> String? { line.map { String(decoding: $0, as: UTF8.self) } }

    /// Receives all that was sent.
    private func receive(_ lines: inout LineBuffer, _ socket: borrowing UnixSocket) throws {
        var descriptors = ReceivedDescriptors()
        while !lines.isFull, case .bytes = try lines.receive(from: socket, descriptors: &descriptors) {}
    }

    @Test func linesAreTakenOneByOne() throws {
        let pair = try UnixSocket.pair()
        var lines = try LineBuffer(limit: 4096)
        try pair.first.send(Array("one\n\ntwo\nthr".utf8).span.bytes)
        try receive(&lines, pair.second)
        #expect(lines.hasLine)
        let first = [lines.takeLine(), lines.takeLine(), lines.takeLine(), lines.takeLine()].map(text)
        #expect(first == ["one", "", "two", nil])
        #expect(!lines.hasLine)
        try pair.first.send(Array("ee\n".utf8).span.bytes)
        try receive(&lines, pair.second)
        let last = lines.takeLine()
        #expect(text(last) == "three")
    }

    @Test func aBufferIsFullUntilALineIsTaken() throws {
        let pair = try UnixSocket.pair()
        var lines = try LineBuffer(limit: 4096)
        try pair.first.send([UInt8](repeating: 10, count: 4097).span.bytes)
        try receive(&lines, pair.second)
        #expect(lines.isFull)
        let line = lines.takeLine()
        #expect(line == [] && !lines.isFull)
        try receive(&lines, pair.second)
        #expect(lines.isFull)
        var count = 0
        while lines.takeLine() != nil { count += 1 }
        #expect(count == 4096)
    }

    /// Where all that is there were searched each time, this would take minutes.
    @Test func aLongLineMayArriveInSmallPieces() throws {
        let pair = try UnixSocket.pair()
        var lines = try LineBuffer(limit: 1 << 20)
        let piece = [UInt8](repeating: 0x61, count: 16)
        for _ in 0..<(1 << 16) - 1 {
            try pair.first.send(piece.span.bytes)
            try receive(&lines, pair.second)
        }
        try pair.first.send(Array("\n".utf8).span.bytes)
        var descriptors = ReceivedDescriptors()
        let line = try lines.receiveLine(
            from: pair.second, until: Deadline(after: .seconds(60)), descriptors: &descriptors)
        #expect(line.count == (1 << 20) - 16)
    }
}
