import PCI
import Testing

@Suite struct RegisterTests {
    typealias Register = ConfigurationSpace.Register

    @Test func everyByteBelongsToAtMostOneRegister() throws {
        var next = 0
        for register in try Sample.function().registers {
            #expect(register.offset >= next, "\(register.name)")
            #expect(register.offset % register.width.rawValue == 0, "\(register.name)")
            next = register.offset + register.width.rawValue
        }
        #expect(next <= 0x100)
    }

    @Test func everyMaskFitsItsRegisterAndNoBitHasTwoAccesses() throws {
        for register in try Sample.function().registers {
            let bits = UInt32.max >> UInt32(32 - 8 * register.width.rawValue)
            let masks = [register.writable, register.clearable, register.driven, register.resetting]
            #expect((masks + [register.reset]).allSatisfy { $0 & ~bits == 0 }, "\(register.name)")
            #expect(masks.map(\.nonzeroBitCount).reduce(0, +) == masks.reduce(0, |).nonzeroBitCount, "\(register.name)")
            if let choice = register.choice {
                #expect(choice.mask & ~register.writable == 0, "\(register.name)")
                #expect(choice.values.allSatisfy { $0 & ~choice.mask == 0 }, "\(register.name)")
                #expect(choice.values.contains(register.reset & choice.mask), "\(register.name)")
            }
        }
    }

    @Test func everyRegisterReadsItsResetValue() throws {
        let function = try Sample.function()
        for register in function.registers {
            #expect(function.value(of: register) == register.reset, "\(register.name)")
        }
    }

    /// One bit at a time, set and cleared: it moves when it is writable, and nothing else does.
    @Test func onlyWritableBitsTakeWhatIsWritten() throws {
        let fresh = try Sample.function()
        let before = fresh.bytes(at: 0, count: 0x100)
        for register in fresh.registers {
            for bit in 0..<UInt32(8 * register.width.rawValue)
            where register.choice.map({ $0.mask & 1 << bit == 0 }) ?? true {
                var function = fresh
                let isWritable = register.writable & 1 << bit != 0
                let set = function.set(register, to: register.reset | 1 << bit)
                let value = isWritable ? register.reset | 1 << bit : register.reset
                #expect(function.value(of: register) == value, "\(register.name), bit \(bit)")
                let asksForReset = register.resetting & 1 << bit != 0
                #expect(set.contains(.functionLevelReset) == asksForReset, "\(register.name), bit \(bit)")
                #expect(
                    set.subtracting(.functionLevelReset) == (value == register.reset ? [] : register.changes),
                    "\(register.name), bit \(bit)")

                function.set(register, to: register.reset & ~(1 << bit))
                #expect(function.value(of: register) == (isWritable ? register.reset & ~(1 << bit) : register.reset))
                function.set(register, to: register.reset)
                #expect(function.bytes(at: 0, count: 0x100) == before, "\(register.name), bit \(bit)")
            }
        }
    }

    @Test func whatHasNoRegisterReadsAsZeroAndStaysSo() throws {
        var function = try Sample.function()
        let covered = Set(function.registers.flatMap { $0.offset..<$0.offset + $0.width.rawValue })
        for offset in 0..<function.size where !covered.contains(offset) {
            #expect(function.write(UInt8.max, at: offset) == [])
            #expect(function.byte(offset) == 0)
        }
    }

    @Test func identificationStandsWhereTheSpecificationPutsIt() throws {
        let function = try Sample.function()
        #expect(function.dword(0x00) == 0x1050_1af4)
        #expect(function.dword(0x08) == 0x0380_0001)
        #expect(function.dword(0x2c) == 0x1100_1af5)
        #expect(function.byte(0x0e) == 0)
        #expect(function.byte(0x3d) == 2)
        #expect(try Sample.plain().byte(0x3d) == 0)
    }

    @Test func interruptLineAndCacheLineSizeAreTheGuestsNotes() throws {
        var function = try Sample.function()
        #expect(function.write(UInt8(11), at: 0x3c) == [])
        function.write(UInt8(16), at: 0x0c)
        #expect(function.byte(0x3c) == 11)
        #expect(function.byte(0x0c) == 16)
    }

    @Test func theLatencyTimerIsHardwiredOnExpressOnly() throws {
        var express = try Sample.function()
        var conventional = try Sample.plain()
        express.write(UInt8.max, at: 0x0d)
        conventional.write(UInt8.max, at: 0x0d)
        #expect(express.byte(0x0d) == 0)
        #expect(conventional.byte(0x0d) == 0xf8)
    }

    // MARK: Command and status

    @Test func commandSwitchesWhatTheViewsTell() throws {
        var function = try Sample.function()
        #expect(function.command == [])
        #expect(!function.isBusMaster && !function.decodesMemory && !function.decodesIO)
        #expect(function.write(UInt16.max, at: 0x04) == .command)
        #expect(
            function.command == [.io, .memory, .busMaster, .parityErrorResponse, .systemErrorEnable, .intxDisable])
        #expect(function.isBusMaster && function.decodesMemory && function.decodesIO)
        #expect(function.write(UInt16.max, at: 0x04) == [])
        #expect(function.write(UInt8(0), at: 0x05) == .command)
        #expect(function.command == [.io, .memory, .busMaster, .parityErrorResponse])
    }

    @Test func aSpaceWithoutBARsCannotBeDecoded() throws {
        var memory = try Sample.plain(bars: [BARLayout(index: 0, space: .memory32, size: 4096)])
        memory.write(UInt16.max, at: 0x04)
        #expect(memory.decodesMemory && !memory.decodesIO)
        var io = try Sample.plain(bars: [BARLayout(index: 0, space: .io, size: 8)])
        io.write(UInt16.max, at: 0x04)
        #expect(!io.decodesMemory && io.decodesIO)
        var rom = try Sample.plain(romSize: 2048)
        rom.write(UInt16.max, at: 0x04)
        #expect(rom.decodesMemory && !rom.decodesIO)
    }

    @Test func interruptStatusIsTheShellsAndNotTheGuests() throws {
        var function = try Sample.function()
        #expect(function.status == [.capabilitiesList])
        function.setInterruptStatus(true)
        #expect(function.status == [.capabilitiesList, .interrupt])
        function.write(UInt16.max, at: 0x06)
        #expect(function.status == [.capabilitiesList, .interrupt])
        function.setInterruptStatus(false)
        #expect(function.status == [.capabilitiesList])
        #expect(try Sample.plain().status == [])
    }

    @Test func errorsAreClearedByOnesOnly() throws {
        var function = try Sample.function()
        function.report(.errors)
        function.report([.interrupt])
        #expect(function.status == Status.errors.union(.capabilitiesList))
        function.write(UInt16(0), at: 0x06)
        #expect(function.status == Status.errors.union(.capabilitiesList))
        #expect(function.write(Status.receivedMasterAbort.rawValue, at: 0x06) == [])
        #expect(function.status == Status.errors.union(.capabilitiesList).subtracting(.receivedMasterAbort))
        function.write(UInt8(0x01), at: 0x07)
        #expect(!function.status.contains(.masterDataParityError))
        function.write(UInt8.max, at: 0x07)
        #expect(function.status == [.capabilitiesList])
    }

    private typealias Status = ConfigurationSpace.Status
}

extension ConfigurationSpace {
    fileprivate func value(of register: Register) -> UInt32 {
        bytes(at: register.offset, count: register.width.rawValue).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    @discardableResult
    fileprivate mutating func set(_ register: Register, to value: UInt32) -> Changes {
        write(Array(littleEndian(value).prefix(register.width.rawValue)), at: register.offset)
    }
}
