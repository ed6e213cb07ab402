import Device
import Foundation
import Programs
import Testing

@testable import SerialCard

@Suite struct StateTests {
    private func reload(_ state: SerialCard.State) throws -> SerialCard.State {
        try JSONDecoder().decode(SerialCard.State.self, from: JSONEncoder().encode(state))
    }

    @Test func aTransferGoesOnInAnotherCard() throws {
        let path = temporaryPath()
        let sent = pattern(2000)
        var received: [UInt8] = []
        let state: SerialCard.State
        do {
            let first = try Bench(line: "unix:\(path)")
            let peer = try Peer(connectingTo: path)
            try first.settle()
            first.open()
            #expect(peer.send(Array(sent[..<30])) == 30)
            try first.settle()
            for _ in 0..<20 { received.append(first.get(.data)) }
            state = try reload(first.card.state)
        }
        #expect(state.received.count == 10)
        let second = try Bench(line: "unix:\(path)")
        try second.card.restore(state)
        #expect(second.card.state.received == state.received)
        #expect(second.pin)
        let peer = try Peer(connectingTo: path)
        try second.settle()
        #expect(peer.send(Array(sent[30...])) == sent.count - 30)
        try second.settle()
        while second.pin { received += second.drain() }
        #expect(received == sent)
    }

    @Test func whatWasNotSentIsSentByTheOtherCard() throws {
        let path = temporaryPath()
        var sent = 0
        let state: SerialCard.State
        do {
            let first = try Bench(line: "unix:\(path)")
            let peer = try Peer(connectingTo: path)
            try first.settle()
            first.open()
            while first.get(.lsr) & 0x20 != 0 {
                first.set(.data, 0x31)
                sent += 1
            }
            state = try reload(first.card.state)
            withExtendedLifetime(peer) {}
        }
        #expect(sent > 1)
        #expect(state.unsent == [0x31])
        let second = try Bench(line: "unix:\(path)")
        let peer = try Peer(connectingTo: path)
        try second.settle()
        try second.card.restore(state)
        #expect(peer.receive() == [0x31])
        #expect(second.get(.lsr) == 0x60)
    }

    @Test func everyRegisterComesBack() throws {
        let first = try Bench()
        first.set(.lcr, 0x9b)
        first.set(.data, 0x34)
        first.set(.ier, 0x12)
        first.set(.lcr, 0x1b)
        first.set(.iirFCR, 0xc9)
        first.set(.mcr, 0x1f)
        first.set(.scr, 0x77)
        first.set(.ier, 0x0f)
        first.set(.data, 0x55)
        first.set(.lcr, 0x5b)
        let state = try reload(first.card.state)
        let second = try Bench()
        try second.card.restore(state)
        #expect(second.card.state == state)
        #expect(second.pin)
        #expect(second.get(.iirFCR) == first.get(.iirFCR))
        for port in [Port.ier, .lcr, .mcr, .lsr, .msr, .scr, .data, .lsr] {
            #expect(second.get(port) == first.get(port), "\(port)")
        }
    }

    @Test func aPeerThatIsGoneAfterwardsShowsAsAChange() throws {
        let path = temporaryPath()
        let first = try Bench(line: "unix:\(path)")
        let peer = try Peer(connectingTo: path)
        try first.settle()
        first.open(interrupts: 0x08)
        _ = first.get(.msr)
        let second = try Bench()
        try second.card.restore(first.card.state)
        #expect(second.pin)
        #expect(second.get(.msr) == 0x0b)
        withExtendedLifetime(peer) {}
    }

    @Test(
        arguments: [
            { $0.interruptEnable = 0x10 }, { $0.fifoControl = 0x03 }, { $0.fifoControl = 0x40 },
            { $0.modemControl = 0x20 },
            { $0.lineErrors = 0x04 }, { $0.received = [1, 2] }, { $0.unsent = [1, 2] },
            {
                $0.fifoControl = 1
                $0.received = Array(0...16)
            },
            { $0.breaks = 1 },
            {
                $0.unsent = [1]
                $0.transmitterEmptied = true
            },
        ] as [@Sendable (inout SerialCard.State) -> Void])
    func aStateThatCannotBeIsRefusedAndChangesNothing(spoil: @Sendable (inout SerialCard.State) -> Void) throws {
        let bench = try Bench()
        bench.set(.scr, 0x42)
        let before = bench.card.state
        var state = before
        state.scratch = 0
        spoil(&state)
        #expect(throws: StateError.self) { try bench.card.restore(state) }
        #expect(bench.card.state == before)
    }
}
