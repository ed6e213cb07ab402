import FakeGuest
import Replay
import Tap
import Testing
import VFIOUserClient

func replay(_ records: [Record], until last: UInt64 = .max) throws -> ReplayOutcome {
    var left = records[...]
    return try Replay { left.popFirst() }.run(until: last)
}

/// Replays twice, and expects the same each time.
@discardableResult
func expectSame(_ records: [Record]) throws -> ReplayOutcome {
    let outcome = try replay(records)
    #expect(outcome.divergence == nil, "\(String(describing: outcome.divergence))")
    #expect(outcome.isComplete && outcome.gaps == 0)
    #expect(try replay(records).fingerprint == outcome.fingerprint)
    return outcome
}

/// What a driver has done with an exerciser.
func exercised() throws -> [Record] {
    let recorded = try RecordedDevice("exerciser") { client in
        try client.write(UInt32(0x5eed), region: 0, offset: 4)
    }
    let (client, ram) = (recorded.client, try GuestRAM(at: 0x10_0000, size: 1 << 20))
    try client.map(address: ram.address, size: 1 << 20, file: ram.file.descriptor)
    try client.write(UInt16(0x0406), region: 7, offset: 4)
    ram.store(Array("what the guest has".utf8), at: 0)
    #expect(try client.read(UInt32.self, region: 0, offset: 4) == 0x5eed)
    for number in 0..<10 as Range<UInt32> { try client.write(number, region: 0, offset: 4) }
    return try recorded.finish()
}
