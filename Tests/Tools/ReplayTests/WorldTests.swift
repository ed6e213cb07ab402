import FakeGuest
import Linux
import Programs
import Replay
import Tap
import Testing
import VFIOUserClient

/// A driver whose messages have no way at first, and what it read of what waited.
func messages() throws -> (records: [Record], pending: [UInt64]) {
    let recorded = try RecordedDevice("exerciser")
    let client = recorded.client
    let bells = [try EventFD(), try EventFD()]
    var pending: [UInt64] = []
    func look() throws { pending.append(try client.read(UInt64.self, region: 4, offset: 0x800)) }
    try client.setEventFDs([bells[0]], kind: .msix)
    try client.write(UInt16(0x0406), region: 7, offset: 4)
    for vector in [0, 1, 2] as [UInt32] { try client.write(vector, region: 0, offset: 0x10) }
    try look()
    try client.setEventFDs([bells[1]], kind: .msix, start: 1)
    try look()
    try client.write(UInt32(1), region: 0, offset: 0x10)
    // What waits behind a mask of the function's own.
    try client.write(UInt16(0x0402), region: 7, offset: 4)
    try client.write(UInt32(0), region: 0, offset: 0x10)
    try look()
    try client.write(UInt16(0x0406), region: 7, offset: 4)
    try look()
    try client.disableInterrupts(.msix)
    try look()
    return (try recorded.finish(), pending)
}

/// What the world did to a device, that is no passage of its registers, is done to it again.
@Suite struct WorldTests {
    @Test func whatWaitsForItsWayWaitsAgain() throws {
        let (records, pending) = try messages()
        #expect(pending == [0b110, 0b100, 0b101, 0b100, 0])
        try expectSame(records)
    }

    @Test func whatWasPendingBeforeIsPending() throws {
        let recorded = try RecordedDevice("exerciser") { client in
            try client.setEventFDs([try EventFD()], kind: .msix)
            try client.write(UInt16(0x0406), region: 7, offset: 4)
            try client.write(UInt32(1), region: 0, offset: 0x10)
        }
        #expect(try recorded.client.read(UInt64.self, region: 4, offset: 0x800) == 2)
        try expectSame(recorded.finish())
    }

    @Test func whatWasKeptForTheLineIsSentAgain() throws {
        let path = temporaryPath()
        let recorded = try RecordedDevice("serial", ["line=unix:\(path)"]) { client in
            for byte in "kept before".utf8 {
                while try client.read(UInt8.self, region: 0, offset: 5) & 0x20 == 0 {}
                try client.write(byte, region: 0, offset: 0)
            }
            while try client.read(UInt8.self, region: 0, offset: 5) & 0x40 == 0 {}
        }
        let peer = try UnixSocket(connectingTo: path, within: .seconds(10))
        while try recorded.client.read(UInt8.self, region: 0, offset: 6) & 0x80 == 0 {}
        _ = peer
        let records = try recorded.finish()
        #expect(records.contains { $0.kind == .init(.sent) && $0.bytes == Array("kept before".utf8) })
        try expectSame(records)
    }

    @Test func aWriteThatARuleAltersLivesAgain() throws {
        let recorded = try RecordedDevice("exerciser")
        try recorded.add(rule: "write register=scratch : xor=0xf0")
        for number in 1...3 as ClosedRange<UInt32> { try recorded.client.write(number, region: 0, offset: 4) }
        #expect(try recorded.client.read(UInt32.self, region: 0, offset: 4) == 0xf3)
        try recorded.add(rule: "write register=scratch : drop")
        try recorded.add(rule: "write register=raise : repeat=2")
        try recorded.client.write(UInt32(1), region: 0, offset: 0x10)
        #expect(try recorded.client.read(UInt32.self, region: 0, offset: 4) == 0xf3)
        let records = try recorded.finish()
        #expect(records.count { $0.kind == .init(.altered) } == 4)
        try expectSame(records)
    }

    @Test func afterAReadThatARuleRefusesItGoesOnFromAFreshState() throws {
        let recorded = try RecordedDevice("exerciser")
        let client = recorded.client
        try client.write(UInt32(7), region: 0, offset: 4)
        try recorded.add(rule: "read register=scratch nth=1 : errno=EIO")
        #expect(throws: ClientError.self) { try client.read(UInt32.self, region: 0, offset: 4) }
        for _ in 0..<100 { #expect(try client.read(UInt32.self, region: 0, offset: 4) == 7) }
        let outcome = try replay(recorded.finish())
        #expect(outcome.divergence == nil, "\(String(describing: outcome.divergence))")
        #expect(outcome.isComplete && outcome.gaps == 1)
    }
}
