import PCI
import Testing
import SeededRandom

@Suite struct AccessTests {
    @Test func sizeFollowsTheExpressCapability() throws {
        #expect(try Sample.plain().size == 256)
        #expect(try Sample.function().size == 4096)
    }

    @Test func theExtendedCapabilityListIsEmpty() throws {
        #expect(try Sample.function().dword(0x100) == 0)
    }

    @Test(arguments: [256, 257, 4096, -4, -1000, Int.max, Int.max - 1, Int.min])
    func outsideReadsAllOnesAndIgnoresWrites(offset: Int) throws {
        var function = try Sample.plain()
        let before = function.bytes(at: 0, count: 256)
        #expect(function.bytes(at: offset, count: 4) == [0xff, 0xff, 0xff, 0xff])
        #expect(function.write(UInt32.max, at: offset) == [])
        #expect(function.bytes(at: 0, count: 256) == before)
    }

    @Test func anAccessAcrossTheEndReachesWhatIsInside() throws {
        var function = try Sample.plain()
        #expect(function.bytes(at: 254, count: 4) == [0, 0, 0xff, 0xff])
        #expect(function.bytes(at: -2, count: 4) == [0xff, 0xff, 0xf4, 0x1a])
        #expect(function.write([0xff, 0xff, 0xff, 0xff, 0x04], at: 0x00) == .command)
        #expect(function.command == .busMaster)
    }

    @Test func anEmptyAccessDoesNothing() throws {
        var function = try Sample.function()
        #expect(function.bytes(at: 0, count: 0) == [])
        #expect(function.write([], at: 0x04) == [])
    }

    @Test func oneWriteMayChangeSeveralRegisters() throws {
        var function = try Sample.function()
        let changes = function.write([UInt8](repeating: 0xff, count: 4096), at: 0)
        #expect(changes == [.command, .bars, .msi, .msix, .powerState, .functionLevelReset])
    }

    /// Writes of every length at every offset, against a model that knows each bit's access by itself.
    @Test(arguments: [1, 2])
    func randomWritesAgreeWithABitwiseModel(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        var function = try Sample.function()
        var model = BitwiseModel()
        var changed = 0
        for step in 0..<30_000 {
            // Mostly where there are registers, sometimes beyond, sometimes across the ends.
            let offset =
                step % 16 == 0
                ? Int.random(in: -8..<4104, using: &generator) : Int.random(in: 0..<0xc0, using: &generator)
            let count = [1, 2, 4, 8, 3, 5, 7, 13].randomElement(using: &generator) ?? 1
            let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            switch step % 64 {
            case 0:
                let level = Bool.random(using: &generator)
                function.setInterruptStatus(level)
                model.set(0x06, bit: 3, to: level)
            case 1:
                function.report(.errors)
                for bit in [8, 11, 12, 13, 14, 15] { model.set(0x06, bit: bit, to: true) }
            case 2:
                let pending = UInt32.random(in: .min ... .max, using: &generator)
                function.setMSIPending(pending)
                for bit in 0..<4 { model.set(0x5c, bit: bit, to: pending & 1 << UInt32(bit) != 0) }
            case 3 where step % 4096 == 3:
                function.reset()
                model = BitwiseModel()
            default: break
            }
            let changes = function.write(bytes, at: offset)
            let expected = model.write(bytes, at: offset)
            try #require(changes == expected, "step \(step), \(bytes) at \(offset)")
            // All of it now and then; else what the write may have reached.
            let near = step % 64 == 63 ? 0..<0x100 : (offset - 4..<offset + count + 4).clamped(to: 0..<0x100)
            try #require(
                function.bytes(at: near.lowerBound, count: near.count) == model.bytes(near),
                "step \(step), \(bytes) at \(offset)")
            if !changes.isEmpty { changed += 1 }
        }
        #expect(changed > 5_000)
        #expect(function.bytes(at: 0x100, count: 4096 - 0x100).allSatisfy { $0 == 0 })
    }
}

/// The sample function, bit by bit, written down from the specifications and not from the module's tables.
private struct BitwiseModel {
    private enum Access {
        case readOnly, readWrite, writeOneToClear, writeOneToReset
    }

    private struct Bit {
        var value: Bool
        var access: Access = .readOnly
        var changes: ConfigurationSpace.Changes = []
    }

    private var bits = [Bit](repeating: Bit(value: false), count: 8 * 0x100)

    init() {
        let image: [(Int, [UInt8])] = [
            (0x00, [0xf4, 0x1a, 0x50, 0x10, 0, 0, 0x10, 0, 0x01, 0x00, 0x80, 0x03]),
            (0x10, [0x0c, 0, 0, 0, 0, 0, 0, 0, 0x00, 0, 0, 0, 0x01, 0, 0, 0, 0x0c, 0, 0, 0]),
            (0x2c, [0xf5, 0x1a, 0x00, 0x11]), (0x34, [0x40]), (0x3d, [2]),
            (0x40, [0x01, 0x48, 0x03, 0x00]),
            (0x48, [0x05, 0x60, 0x84, 0x01]),
            (0x60, [0x11, 0x6c, 69, 0, 0x02, 0x10, 0, 0, 0x02, 0x20]),
            (0x6c, [0x09, 0x7c, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
            (0x7c, [0x10, 0xb8, 0x02, 0x00, 0x20, 0x80, 0x00, 0x10, 0x10, 0x28]),
            (0x88, [0x11, 0x00, 0x40, 0x00, 0x00, 0x00, 0x11, 0x00]),
            (0xa0, [0x10]), (0xa8, [0x02, 0, 0, 0, 0x01]),
            (0xb8, [0x09, 0x00, 4, 0xaa]),
        ]
        for (offset, bytes) in image {
            for (index, byte) in bytes.enumerated() {
                for bit in 0..<8 { self[offset + index, bit].value = byte & 1 << UInt8(bit) != 0 }
            }
        }
        declare(0x04, [0, 1, 2, 6, 8, 10], .readWrite, .command)
        declare(0x06, [8, 11, 12, 13, 14, 15], .writeOneToClear)
        declare(0x0c, Array(0..<8), .readWrite)
        declare(0x10, Array(24..<32), .readWrite, .bars)
        declare(0x14, Array(0..<32), .readWrite, .bars)
        declare(0x18, Array(14..<32), .readWrite, .bars)
        declare(0x1c, Array(5..<32), .readWrite, .bars)
        declare(0x24, Array(1..<32), .readWrite, .bars)
        declare(0x30, [0] + Array(16..<32), .readWrite, .bars)
        declare(0x3c, Array(0..<8), .readWrite)
        declare(0x44, [0, 1], .readWrite, .powerState)
        declare(0x4a, [0, 4, 5, 6], .readWrite, .msi)
        declare(0x4c, Array(2..<32), .readWrite, .msi)
        declare(0x50, Array(0..<32), .readWrite, .msi)
        declare(0x54, Array(0..<16), .readWrite, .msi)
        declare(0x58, Array(0..<4), .readWrite, .msi)
        declare(0x62, [14, 15], .readWrite, .msix)
        declare(0x84, [0, 1, 2, 3, 4, 8, 11, 12, 13, 14], .readWrite)
        declare(0x84, [15], .writeOneToReset)
        declare(0x8c, [0, 1, 3, 6, 7], .readWrite)
        declare(0xa4, [4], .readWrite)
    }

    private subscript(offset: Int, bit: Int) -> Bit {
        get { bits[8 * offset + bit] }
        set { bits[8 * offset + bit] = newValue }
    }

    private mutating func declare(
        _ offset: Int, _ positions: [Int], _ access: Access, _ changes: ConfigurationSpace.Changes = []
    ) {
        for position in positions {
            self[offset, position].access = access
            self[offset, position].changes = changes
        }
    }

    mutating func set(_ offset: Int, bit: Int, to value: Bool) { self[offset, bit].value = value }

    mutating func write(_ bytes: [UInt8], at offset: Int) -> ConfigurationSpace.Changes {
        var changes: ConfigurationSpace.Changes = []
        for (index, byte) in bytes.enumerated() where (0..<0x100).contains(offset + index) {
            for bit in 0..<8 {
                let one = byte & 1 << UInt8(bit) != 0
                // There is no D1 and D2, and 8, 16, 32 and two reserved numbers are more vectors than 4.
                if offset + index == 0x44, bit < 2, [1, 2].contains(byte & 3) { continue }
                if offset + index == 0x4a, (4...6).contains(bit), byte >> 4 & 7 > 2 { continue }
                var state = self[offset + index, bit]
                switch state.access {
                case .readWrite:
                    if state.value != one { changes.formUnion(state.changes) }
                    state.value = one
                case .writeOneToClear:
                    if one { state.value = false }
                case .writeOneToReset:
                    if one { changes.insert(.functionLevelReset) }
                case .readOnly: break
                }
                self[offset + index, bit] = state
            }
        }
        return changes
    }

    func bytes(_ range: Range<Int>) -> [UInt8] {
        range.map { offset in
            (0..<8).reduce(0) { $0 | (self[offset, $1].value ? 1 << UInt8($1) : 0) }
        }
    }
}
