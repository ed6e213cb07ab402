import Foundation
import PCI
import Testing
import SeededRandom

@Suite struct MSIXTableTests {
    @Test func everyVectorIsMaskedAfterReset() throws {
        var table = try MSIXTable(vectors: 3)
        #expect(table.vectors == 3)
        #expect(
            table.bytes(at: 0, count: 48) == (0..<3).flatMap { _ in [UInt8](repeating: 0, count: 12) + [1, 0, 0, 0] })
        table.write([UInt8](repeating: 0, count: 48), at: 0)
        table.reset()
        #expect((0..<3).allSatisfy { table[$0] == .init(address: 0, data: 0, masked: true) })
        #expect(table[3] == nil)
        #expect(table[-1] == nil)
    }

    @Test func aVectorIsSetUpByLongsOrQuads() throws {
        var table = try MSIXTable(vectors: 2)
        #expect(table.write(UInt64(0x1_fee0_1004), at: 16) == 1..<2)
        #expect(table.write(UInt32(0x4041), at: 24) == 1..<2)
        #expect(table[1] == .init(address: 0x1_fee0_1004, data: 0x4041, masked: true))
        #expect(table.write(UInt32(0), at: 28) == 1..<2)
        #expect(table[1]?.masked == false)
        #expect(table[1]?.message == MSIMessage(address: 0x1_fee0_1004, data: 0x4041))
        #expect(table[0] == .init(address: 0, data: 0, masked: true))
        #expect(table.write(UInt64(1 << 32 | 0x55), at: 24) == 1..<2)
        #expect(table[1] == .init(address: 0x1_fee0_1004, data: 0x55, masked: true))
    }

    @Test func reservedBitsStayZero() throws {
        var table = try MSIXTable(vectors: 1)
        table.write([UInt8](repeating: 0xff, count: 16), at: 0)
        #expect(table.bytes(at: 0, count: 16) == [0xfc] + [UInt8](repeating: 0xff, count: 11) + [1, 0, 0, 0])
    }

    @Test func oneWriteMayTouchSeveralVectors() throws {
        var table = try MSIXTable(vectors: 4)
        #expect(table.write([UInt8](repeating: 0, count: 18), at: 15) == 0..<3)
        #expect(table.write([UInt8](repeating: 0, count: 32), at: 48) == 3..<4)
        #expect(table.write([], at: 0) == 0..<0)
    }

    @Test(arguments: [32, 33, -16, Int.max, Int.min])
    func outsideReadsZeroAndIgnoresWrites(offset: Int) throws {
        var table = try MSIXTable(vectors: 2)
        let before = table
        #expect(table.bytes(at: offset, count: 4) == [0, 0, 0, 0])
        #expect(table.write(UInt32.max, at: offset).isEmpty)
        #expect(table.pendingBytes([.max], at: offset, count: 4) == [0, 0, 0, 0])
        #expect(table == before)
    }

    @Test func randomWritesAgreeWithABytewiseModel() throws {
        var generator = SplitMix(seed: 7)
        var table = try MSIXTable(vectors: 5)
        var model = table.bytes(at: 0, count: 80)
        let mask: [UInt8] = [0xfc] + [UInt8](repeating: 0xff, count: 11) + [1, 0, 0, 0]
        for step in 0..<20_000 {
            let offset = Int.random(in: -8..<88, using: &generator)
            let count = Int.random(in: 1...20, using: &generator)
            let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            let touched = table.write(bytes, at: offset)
            var expected: Set<Int> = []
            for (index, byte) in bytes.enumerated() where model.indices.contains(offset + index) {
                model[offset + index] = byte & mask[(offset + index) % 16]
                expected.insert((offset + index) / 16)
            }
            try #require(table.bytes(at: 0, count: 80) == model, "step \(step)")
            try #require(Set(touched) == expected, "step \(step)")
        }
    }

    @Test func pendingBitsAreThoseOfVectorsThatExist() throws {
        let table = try MSIXTable(vectors: 70)
        #expect(
            table.pendingBytes([.max, .max, .max], at: 0, count: 24)
                == [UInt8](repeating: 0xff, count: 8) + [0x3f] + [UInt8](repeating: 0, count: 15))
        #expect(table.pendingBytes([0x8877_6655_4433_2211, 0x2a], at: 6, count: 4) == [0x77, 0x88, 0x2a, 0])
        #expect(table.pendingBytes([0x8877_6655_4433_2211], at: 7, count: 2) == [0x88, 0])
        #expect(table.pendingBytes([], at: 0, count: 2) == [0, 0])
    }

    @Test(arguments: [0, -1, 2049, Int.max])
    func aTableHasOneTo2048Vectors(vectors: Int) throws {
        #expect(throws: ConfigurationError.msixVectors(vectors)) { try MSIXTable(vectors: vectors) }
    }

    @Test func aSavedTableGoesOnElsewhere() throws {
        var table = try MSIXTable(vectors: 2048)
        table.write(UInt64(0xfee0_0000), at: 2047 * 16)
        table.write(UInt64(0x33), at: 2047 * 16 + 8)
        let saved = try JSONDecoder().decode(MSIXTable.State.self, from: JSONEncoder().encode(table.state))
        var other = try MSIXTable(vectors: 2048)
        #expect(other != table)
        try other.restore(saved)
        #expect(other == table)
    }

    @Test func aStateThatDoesNotFitChangesNothing() throws {
        var table = try MSIXTable(vectors: 2)
        let before = table
        #expect(throws: ConfigurationError.stateVectors(3, expected: 2)) {
            try table.restore(MSIXTable(vectors: 3).state)
        }
        var state = table.state
        state.entries[0].masked = false
        state.entries[1].address = 0x1002
        #expect(throws: ConfigurationError.stateAddress(0x1002, vector: 1)) { try table.restore(state) }
        #expect(table == before)
    }
}
