import Foundation
import PCI
import Testing
import SeededRandom

@Suite struct StateTests {
    @Test func aSavedFunctionGoesOnElsewhere() throws {
        var generator = SplitMix(seed: 11)
        let fresh = try Sample.function()
        for _ in 0..<100 {
            var function = fresh
            for _ in 0..<50 {
                let bytes = (0..<4).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
                function.write(bytes, at: Int.random(in: 0..<0xc0, using: &generator))
            }
            function.report([.receivedMasterAbort])
            function.setInterruptStatus(Bool.random(using: &generator))
            function.setMSIPending(UInt32.random(in: 0..<16, using: &generator))

            let saved = try JSONDecoder().decode(
                ConfigurationSpace.State.self, from: JSONEncoder().encode(function.state))
            var other = fresh
            other.write([UInt8](repeating: 0xff, count: 4096), at: 0)
            try other.restore(saved)
            #expect(other.bytes(at: 0, count: 4096) == function.bytes(at: 0, count: 4096))
            #expect(other.state == function.state)
        }
    }

    @Test func onlyWhatCanChangeIsSaved() throws {
        let plain = try Sample.plain()
        #expect(plain.state.registers.map(\.offset) == [0x04, 0x06, 0x0c, 0x0d, 0x3c])
        #expect(plain.state.registers.allSatisfy { $0.value == 0 })
    }

    @Test func aStateOfAnotherFunctionIsRefused() throws {
        var function = try Sample.function()
        let before = function.state
        #expect(throws: ConfigurationError.stateRegisters) { try function.restore(Sample.plain().state) }
        #expect(throws: ConfigurationError.stateRegisters) { try function.restore(.init(registers: [])) }
        var state = before
        state.registers.append(.init(offset: Int.max, value: 0))
        #expect(throws: ConfigurationError.stateRegisters) { try function.restore(state) }
        #expect(function.state == before)
    }

    @Test func bitsThatCannotBeSetAreRefused() throws {
        var function = try Sample.function()
        let before = function.state
        var state = before
        let index = try #require(state.registers.firstIndex { $0.offset == 0x18 })
        state.registers[0].value = 0x4
        state.registers[index].value = 0xfe00_0010
        #expect(
            throws: ConfigurationError.stateBits(
                register: "Base Address 2", value: 0xfe00_0010, allowed: 0xffff_c000)
        ) { try function.restore(state) }
        #expect(function.state == before)
    }

    @Test(arguments: [
        (0x44, 2 as UInt32, "Power Management Control/Status", 2 as UInt32, [0, 3] as [UInt32]),
        (0x4a, 0x31, "MSI Message Control", 0x30, [0, 0x10, 0x20]),
    ])
    func valuesThatAFieldDoesNotTakeAreRefused(
        offset: Int, value: UInt32, register: String, field: UInt32, allowed: [UInt32]
    ) throws {
        var function = try Sample.function()
        let before = function.state
        var state = before
        let index = try #require(state.registers.firstIndex { $0.offset == offset })
        state.registers[index].value = value
        #expect(throws: ConfigurationError.stateField(register: register, value: field, allowed: allowed)) {
            try function.restore(state)
        }
        #expect(function.state == before)
    }
}
