import Device
import FakeGuest
import Foundation
import LingeringSocket
import Linux
import Programs
import Testing

@testable import SerialCard

@Suite struct LineTests {
    private let path = temporaryPath()
    private let bench: Bench

    init() throws {
        bench = try Bench(line: "unix:\(path)")
    }

    private func connect() throws -> Peer {
        let peer = try Peer(connectingTo: path)
        try bench.settle()
        return peer
    }

    @Test func aTapSeesTheLine() throws {
        let tap = KeepingTap()
        bench.host.tap = tap
        bench.open()
        let peer = try connect()
        #expect(peer.send([1, 2, 3]) == 3)
        try bench.settle()
        bench.set(.data, 9)
        try bench.settle()
        peer.stream.shutDown()
        _ = bench.drain()
        try bench.settle()
        #expect(
            tap.take().filter { if case .pin = $0.passage { false } else { true } } == [
                .init(.connected("line")), .init(.received("line"), [1, 2, 3]), .init(.sent("line"), [9]),
                .init(.disconnected("line")),
            ])
    }

    // MARK: Standing still

    @Test func nothingIsTakenFromTheLineWhileTheCardStandsStill() throws {
        let peer = try connect()
        bench.open()
        bench.card.setRunning(false)
        #expect(peer.send([1, 2, 3]) == 3)
        try bench.settle()
        #expect(!bench.pin)
        #expect(bench.drain() == [])
        bench.card.setRunning(true)
        try bench.settle()
        #expect(bench.drain() == [1, 2, 3])
    }

    // MARK: Peers that can't be closed

    @Test func aPeerThatCameWhenNoMoreCouldBeClosedIsTakenWhenTheyCan() throws {
        let lane = bench.loop.strangersLane
        let file = try MemoryFile(name: "in the lane", size: 4096)
        let peer: Peer
        do {
            let socket = try LingeringSocket()
            _ = Descriptor(owning: socket.relinquish()).closed(in: lane)
            while lane.hasRoom { _ = try file.descriptor.duplicate().closed(in: lane) }
            peer = try connect()
            #expect(bench.get(.msr) & 0x80 == 0)
            withExtendedLifetime(socket) {}
        }
        try bench.wait { bench.get(.msr) & 0x80 != 0 }
        #expect(bench.get(.msr) & 0x80 != 0)
        bench.set(.data, 0x42)
        #expect(peer.receive() == [0x42])
    }

    // MARK: Options

    @Test(arguments: ["", "unix", "unix:", "pty:", "tcp:1", "none:x", "UNIX:/x"])
    func otherWordsAreRefused(option: String) {
        #expect(throws: OptionError.self) { try Bench(line: option) }
    }

    @Test func aSocketThatCannotBeMadeIsRefusedWithItsPath() {
        let missing = "The folder of '/nonexistent/socket' does not exist; make it first."
        #expect(throws: UnavailableError("Option 'line': \(missing)")) { try Bench(line: "unix:/nonexistent/socket") }
        let taken = "Another process serves '\(path)'; stop it or choose another path."
        #expect(throws: UnavailableError("Option 'line': \(taken)")) { try Bench(line: "unix:\(path)") }
    }

    @Test func aTerminalsLinkThatAnotherHasIsNotTaken() throws {
        let link = temporaryPath()
        let first = try Bench(line: "pty:\(link)")
        let taken = "'\(link)' leads to another process's terminal; stop that or choose another path."
        #expect(throws: UnavailableError("Option 'line': \(taken)")) { try Bench(line: "pty:\(link)") }
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == first.card.linePath)
    }

    @Test func thePathTellsWhereThePeerFindsTheLine() throws {
        #expect(bench.card.linePath == path)
        #expect(try Bench().card.linePath == nil)
    }

    // MARK: Bytes

    @Test func aByteFromThePeerInterrupts() throws {
        let peer = try connect()
        bench.open()
        #expect(peer.send([0x41]) == 1)
        try bench.settle()
        #expect(bench.pin)
        #expect(bench.get(.iirFCR) == 0xcc)
        #expect(bench.drain() == [0x41])
        #expect(!bench.pin)
    }

    @Test func aPeerThatIsGoneBeforeItTookWhatWasKeptMakesWayForTheNext() throws {
        bench.set(.data, 0x43)
        _ = try Peer(connectingTo: path)
        try bench.settle()
        #expect(try connect().receive() == [0x43])
    }

    @Test func aByteToThePeerArrives() throws {
        let peer = try connect()
        bench.set(.data, 0x42)
        #expect(bench.get(.lsr) == 0x60)
        #expect(peer.receive() == [0x42])
    }

    @Test func withoutFIFOsBytesComeOneByOne() throws {
        let peer = try connect()
        bench.set(.mcr, 0x03)
        #expect(peer.send([1, 2, 3]) == 3)
        try bench.settle()
        #expect(bench.card.state.received == [1])
        #expect(bench.drain() == [1, 2, 3])
        #expect(bench.get(.lsr) == 0x60)
    }

    @Test func bytesWaitForRequestToSend() throws {
        let peer = try connect()
        bench.set(.iirFCR, 0x07)
        #expect(peer.send([1, 2]) == 2)
        try bench.settle()
        #expect(bench.get(.lsr) == 0x60)
        bench.set(.mcr, 0x02)
        #expect(bench.drain() == [1, 2])
    }

    @Test func loopbackKeepsTheLineOut() throws {
        let peer = try connect()
        bench.set(.iirFCR, 0x07)
        bench.set(.mcr, 0x12)
        #expect(peer.send([1]) == 1)
        try bench.settle()
        bench.set(.data, 2)
        #expect(bench.drain() == [2])
        #expect(peer.receive() == [])
        bench.set(.mcr, 0x02)
        #expect(bench.drain() == [1])
    }

    @Test func whatIsSaidWithNobodyThereIsKeptForWhoeverComes() throws {
        let said = pattern(100)
        for byte in said { bench.set(.data, byte) }
        #expect(bench.get(.lsr) == 0x60)
        let peer = try connect()
        bench.set(.data, 2)
        #expect(peer.receive() == said + [2])
        #expect(peer.receive() == [])
    }

    @Test func ofMuchThatIsSaidWithNobodyThereTheLastIsKept() throws {
        let said = pattern(5 * Line.keptBytes + 77)
        for byte in said {
            bench.set(.data, byte)
            #expect(bench.get(.lsr) == 0x60)
        }
        let peer = try connect()
        #expect(peer.receive(limit: 1 << 20) == Array(said.suffix(Line.keptBytes)))
    }

    @Test func sixtyFourKilobytesComeInWhole() throws {
        let peer = try connect()
        bench.open()
        let sent = pattern(65536)
        var position = 0
        var received: [UInt8] = []
        while received.count < sent.count {
            let before = received.count + position
            position += peer.send(Array(sent[position...].prefix(5000)))
            try bench.loop.dispatch(within: .zero)
            // An interrupt handler that takes a few characters only.
            for _ in 0..<100 where bench.pin && bench.get(.lsr) & 1 != 0 { received.append(bench.get(.data)) }
            try #require(received.count + position > before || bench.pin, "No progress at \(received.count)")
        }
        #expect(received == sent)
        #expect(!bench.pin)
    }

    @Test func sixtyFourKilobytesGoOutWhole() throws {
        let peer = try connect()
        let sent = pattern(65536)
        var position = 0
        var received: [UInt8] = []
        bench.open(interrupts: 0x02)
        while received.count < sent.count {
            let before = received.count + position
            if bench.pin, bench.get(.iirFCR) & 0x0f == 0x02 {
                for byte in sent[position...].prefix(16) {
                    // A write of the FIFO's depth without asking is what the interrupt permits; the line
                    // may hold up from any byte on.
                    bench.set(.data, byte)
                }
                position = min(position + 16, sent.count)
            }
            received += peer.receive(limit: 1000)
            try bench.loop.dispatch(within: .zero)
            try #require(received.count + position > before || bench.pin, "No progress at \(received.count)")
        }
        #expect(received == sent)
    }

    @Test func aPeerThatDoesNotReadHoldsTheTransmitterUp() throws {
        let peer = try connect()
        bench.open(interrupts: 0x02)
        var sent: [UInt8] = []
        let bytes = pattern(1 << 20)
        while bench.get(.lsr) & 0x20 != 0 {
            try #require(sent.count < bytes.count)
            bench.set(.data, bytes[sent.count])
            sent.append(bytes[sent.count])
        }
        #expect(bench.get(.iirFCR) == 0xc1)
        #expect(!bench.pin)
        // The FIFO takes 15 more, and no sixteenth.
        for _ in 0..<20 {
            bench.set(.data, 0x77)
        }
        sent += [UInt8](repeating: 0x77, count: 15)
        #expect(bench.card.state.unsent.count == 16)

        var received: [UInt8] = []
        while received.count < sent.count {
            let more = peer.receive()
            received += more
            try bench.settle()
            try #require(!more.isEmpty)
        }
        #expect(received == sent)
        #expect(bench.get(.lsr) == 0x60)
        #expect(bench.pin)
        #expect(bench.get(.iirFCR) == 0xc2)
    }

    @Test func aDriverThatDoesNotReadHoldsThePeerUp() throws {
        let peer = try connect()
        bench.open()
        let chunk = [UInt8](repeating: 3, count: 4096)
        var sent = 0
        while case let count = peer.send(chunk), count > 0 {
            sent += count
            try bench.settle()
            try #require(sent < 1 << 24)
        }
        #expect(bench.card.state.received.count == 16)
        #expect(bench.get(.lsr) & 0x02 == 0)
        while peer.send(chunk) == 0 {
            try #require(bench.get(.data) == 3)
        }
    }

    // MARK: Peers

    @Test func theModemLinesFollowThePeer() throws {
        #expect(bench.get(.msr) == 0x00)
        bench.open(interrupts: 0x08)
        var peer: Peer? = try connect()
        #expect(bench.pin)
        #expect(bench.get(.iirFCR) == 0xc0)
        #expect(bench.get(.msr) == 0xbb)
        #expect(!bench.pin)
        peer = nil
        try bench.settle()
        #expect(bench.pin)
        #expect(bench.get(.msr) == 0x0b)
        peer = try connect()
        #expect(bench.get(.msr) == 0xbb)
        withExtendedLifetime(peer) {}
    }

    @Test func theNextPeerWaitsForTheFirstToLeave() throws {
        bench.open()
        var first: Peer? = try connect()
        let second = try connect()
        bench.set(.data, 1)
        #expect(first?.receive() == [1])
        #expect(second.send([9]) == 1)
        try bench.settle()
        #expect(bench.drain() == [])
        first = nil
        try bench.settle()
        bench.set(.data, 2)
        #expect(second.receive() == [2])
        #expect(bench.drain() == [9])
    }

    @Test func whatAPeerSentBeforeItLeftArrives() throws {
        bench.open()
        var peer: Peer? = try connect()
        let sent = pattern(100)
        #expect(peer?.send(sent) == 100)
        peer = nil
        try bench.settle()
        #expect(bench.get(.msr) & 0x80 != 0)
        #expect(bench.drain() == sent)
        #expect(bench.get(.msr) & 0x80 == 0)
    }

    @Test func aPeerThatLeavesAClosedPortMakesWay() throws {
        var first: Peer? = try connect()
        #expect(first?.send([1]) == 1)
        first = nil
        try bench.settle()
        let second = try connect()
        bench.open()
        #expect(second.send([2]) == 1)
        try bench.settle()
        #expect(bench.drain() == [2])
    }

    @Test func aPeerThatLeavesAFullTransmitterFreesIt() throws {
        var peer: Peer? = try connect()
        bench.open(interrupts: 0x02)
        while bench.get(.lsr) & 0x20 != 0 { bench.set(.data, 0) }
        #expect(peer?.send([5]) == 1)
        peer = nil
        try bench.settle()
        #expect(bench.get(.lsr) & 0x60 == 0x60)
        #expect(bench.pin)
    }

    @Test func aResetKeepsThePeer() throws {
        let peer = try connect()
        bench.open()
        bench.card.reset()
        #expect(bench.get(.msr) == 0xb0)
        bench.set(.data, 6)
        #expect(peer.receive() == [6])
    }

    @Test func aGoneCardLeavesNoSocketBehind() throws {
        let path = temporaryPath()
        var other: Bench? = try Bench(line: "unix:\(path)")
        let peer = try Peer(connectingTo: path)
        try other?.settle()
        other = nil
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(peer.send([1]) == 0)
    }
}

@Suite struct TerminalTests {
    private let link = temporaryPath()
    private let bench: Bench

    init() throws {
        bench = try Bench(line: "pty:\(link)")
        bench.open()
    }

    private func connect() throws -> FileHandle {
        let slave = try #require(FileHandle(forUpdatingAtPath: link))
        try bench.settle()
        return slave
    }

    @Test func theLinkLeadsToTheTerminalAndGoesWithTheCard() throws {
        let other = temporaryPath()
        var bench: Bench? = try Bench(line: "pty:\(other)")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: other) == bench?.card.linePath)
        bench = nil
        #expect(throws: (any Error).self) { try FileManager.default.destinationOfSymbolicLink(atPath: other) }
    }

    @Test func aFileInTheWayOfTheLinkStays() throws {
        let other = temporaryPath()
        #expect(FileManager.default.createFile(atPath: other, contents: nil))
        defer { try? FileManager.default.removeItem(atPath: other) }
        #expect(throws: UnavailableError.self) { try Bench(line: "pty:\(other)") }
        #expect(FileManager.default.fileExists(atPath: other))
    }

    @Test func bytesGoBothWaysUnchanged() throws {
        let slave = try connect()
        let bytes: [UInt8] = [0x03, 0x0a, 0x0d, 0x11, 0x13, 0x1a, 0x7f, 0xff]
        slave.write(Data(bytes))
        var received: [UInt8] = []
        try bench.wait {
            received += bench.drain()
            return received.count >= bytes.count
        }
        #expect(received == bytes)
        for byte in bytes { bench.set(.data, byte) }
        #expect(try slave.read(upToCount: bytes.count) == Data(bytes))
    }

    @Test func theModemLinesFollowWhoeverHasItOpen() throws {
        #expect(bench.get(.msr) == 0x00)
        for _ in 0..<3 {
            let slave = try connect()
            #expect(bench.get(.msr) == 0xbb)
            try slave.close()
            try bench.wait { bench.card.state.modemStatus & 0x80 == 0 }
            #expect(bench.get(.msr) == 0x0b)
        }
    }

    @Test func whatWasWrittenBeforeTheCardLookedArrives() throws {
        let slave = try #require(FileHandle(forUpdatingAtPath: link))
        slave.write(Data([1, 2, 3]))
        try slave.close()
        var received: [UInt8] = []
        try bench.wait {
            received += bench.drain()
            return received.count >= 3
        }
        #expect(received == [1, 2, 3])
        try bench.wait { bench.card.state.modemStatus & 0x80 == 0 }
        #expect(bench.get(.msr) & 0xf0 == 0)
    }

    @Test func whatIsSaidWithNobodyThereIsKeptForWhoeverOpensIt() throws {
        let said = pattern(1000)
        for byte in said { bench.set(.data, byte) }
        #expect(bench.get(.lsr) == 0x60)
        let slave = try connect()
        bench.set(.data, 2)
        var received = Data()
        while received.count <= said.count { received += slave.availableData }
        #expect(Array(received) == said + [2])
    }
}
