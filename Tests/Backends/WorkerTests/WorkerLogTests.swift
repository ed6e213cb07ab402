import Glibc
import Linux
import Testing

@testable import Worker

/// What workers say, and how much of it.
@Suite struct WorkerLogTests {
    private func write(_ text: [UInt8], to pipe: borrowing PipeEnds) throws {
        let raw = pipe.writer.raw
        #expect(text.withUnsafeBytes { Glibc.write(raw, $0.baseAddress, $0.count) } == text.count)
    }

    @Test func linesGoOnAsWhatCanBePrinted() throws {
        let pipe = try PipeEnds()
        var lines: [String] = []
        let loop = try EventLoop()
        let log = try WorkerLog(pipe.reader.duplicate(), of: "echo", loop: loop, write: { lines.append($0) })
        try write(Array("one\nt".utf8), to: pipe)
        try loop.dispatch(within: .seconds(60))
        #expect(lines == ["one"])
        try write(Array("w\u{1b}[2Jo\r\u{7f}\n".utf8) + [0x9b, 0x0a], to: pipe)
        log.drain()
        #expect(lines == ["one", #"tw\u{1b}[2Jo\u{d}\u{7f}"#, "\u{fffd}"])
    }

    @Test func whatIsSaidTooMuchIsLeftOut() throws {
        let pipe = try PipeEnds()
        var lines: [String] = []
        var now: UInt64 = 5
        let log = try WorkerLog(
            pipe.reader.duplicate(), of: "echo", loop: EventLoop(), clock: { now }, write: { lines.append($0) })
        let long = [UInt8](repeating: UInt8(ascii: "x"), count: 1000) + [UInt8(ascii: "\n")]
        for _ in 0..<1000 {
            try write(long, to: pipe)
            log.drain()
        }
        // The last tells that there was more.
        #expect(lines.count == WorkerLog.lineLimit + 1)
        #expect(lines.allSatisfy { $0.utf8.count <= WorkerLog.lengthLimit })
        now += 1_000_000_000
        try write(Array("one\ntwo\n".utf8), to: pipe)
        log.drain()
        #expect(lines.count == WorkerLog.lineLimit + 3 && lines.contains("one") && !lines.contains("two"))
    }
}
