import Device
import Testing

private enum Register: Equatable { case control, length, cause, input, output, far }

private let map: RegisterMap<Register> = [
    .init(.length, at: 0x02, width: .dword, reset: 0x1122_3344),
    .init(.control, at: 0x00, width: .word),
    .init(.cause, at: 0x08, width: .word, access: .writeOneToClear),
    .init(.input, at: 0x0a, width: .byte, access: .readOnly),
    .init(.output, at: 0x0a, width: .byte, access: .writeOnly),
    .init(.far, at: 0x1000, width: .qword),
]

/// Plain storage behind the map that notes which registers were touched.
private final class Bench {
    var values: [(Register, UInt64)] = [
        (.control, 0xa1a0), (.length, 0xb3b2_b1b0), (.cause, 0xff0f), (.input, 0xc0), (.output, 0),
        (.far, 0xd7d6_d5d4_d3d2_d1d0),
    ]
    var touched: [Register] = []

    func read(_ offset: UInt64, _ width: AccessWidth) -> UInt64 {
        map.read(at: offset, width: width) { register in
            touched.append(register)
            return self[register]
        }
    }

    func write(_ offset: UInt64, _ width: AccessWidth, _ value: UInt64) {
        map.write(at: offset, width: width, value: value) { register, written in
            touched.append(register)
            self[register] = written.merged(into: self[register])
        }
    }

    subscript(register: Register) -> UInt64 {
        get { values.first { $0.0 == register }?.1 ?? 0 }
        set { values = values.map { $0.0 == register ? (register, newValue) : $0 } }
    }
}

@Suite struct RegisterMapTests {
    private let bench = Bench()

    @Test(
        arguments: [
            (0x00, AccessWidth.word, 0xa1a0), (0x02, .dword, 0xb3b2_b1b0), (0x0a, .byte, 0xc0),
            (0x1000, .qword, 0xd7d6_d5d4_d3d2_d1d0),
        ] as [(UInt64, AccessWidth, UInt64)])
    func aReadOfAWholeRegisterGivesItsValue(offset: UInt64, width: AccessWidth, value: UInt64) {
        #expect(bench.read(offset, width) == value)
        #expect(bench.touched.count == 1)
    }

    @Test(
        arguments: [
            (0x00, AccessWidth.byte, 0xa0), (0x01, .byte, 0xa1), (0x04, .word, 0xb3b2), (0x1005, .byte, 0xd5),
            (0x1004, .dword, 0xd7d6_d5d4),
        ] as [(UInt64, AccessWidth, UInt64)])
    func aReadOfAPartTakesThatPart(offset: UInt64, width: AccessWidth, value: UInt64) {
        #expect(bench.read(offset, width) == value)
        #expect(bench.touched.count == 1)
    }

    @Test func aWideReadTouchesEachRegisterOnceInOrder() {
        #expect(bench.read(0x00, .qword) == 0x0000_b3b2_b1b0_a1a0)
        #expect(bench.touched == [.control, .length])
    }

    @Test func aReadMayTakeTheEndOfOneRegisterAndTheBeginningOfTheNext() {
        #expect(bench.read(0x01, .word) == 0xb0a1)
    }

    @Test func gapsReadZeroAndIgnoreWrites() {
        #expect(bench.read(0x06, .word) == 0)
        #expect(bench.read(0x0c, .dword) == 0)
        #expect(bench.read(0x2000, .qword) == 0)
        bench.write(0x06, .word, 0xffff)
        bench.write(0x2000, .qword, .max)
        #expect(bench.touched.isEmpty)
    }

    @Test func aReadBesideAGapHasZerosThere() {
        #expect(bench.read(0x04, .dword) == 0x0000_b3b2)
    }

    @Test func bitsBeyondTheRegisterAreDropped() {
        #expect(map.read(at: 0x00, width: .dword) { _ in .max } == 0xffff_ffff)
        #expect(map.read(at: 0x0a, width: .word) { _ in .max } == 0x00ff)
    }

    @Test func aWriteOfAWholeRegisterReplacesIt() {
        bench.write(0x02, .dword, 0xffff_ffff_0102_0304)
        #expect(bench[.length] == 0x0102_0304)
        #expect(bench.touched == [.length])
    }

    @Test func aWriteOfAPartLeavesTheOtherBytes() {
        bench.write(0x03, .byte, 0x55)
        #expect(bench[.length] == 0xb3b2_55b0)
        bench.write(0x1004, .dword, 0x0102_0304)
        #expect(bench[.far] == 0x0102_0304_d3d2_d1d0)
    }

    @Test func aWideWriteReachesEachRegisterWithItsOwnBits() {
        bench.write(0x00, .qword, 0x9988_7766_5544_3322)
        #expect(bench.touched == [.control, .length])
        #expect(bench[.control] == 0x3322)
        #expect(bench[.length] == 0x7766_5544)
    }

    @Test func onesClearAndZerosKeepInAWriteOneToClearRegister() {
        bench.write(0x08, .word, 0x0101)
        #expect(bench[.cause] == 0xfe0e)
        bench.write(0x09, .byte, 0x80)
        #expect(bench[.cause] == 0x7e0e)
    }

    @Test func aReadOnlyAndAWriteOnlyRegisterShareAnOffset() {
        bench.write(0x0a, .byte, 0x77)
        #expect(bench.read(0x0a, .byte) == 0xc0)
        #expect(bench[.output] == 0x77)
        #expect(bench.touched == [.output, .input])
    }

    @Test func aNarrowTypeMergesAsAWideOne() {
        var small: UInt8 = 0xf0
        map.write(at: 0x0a, width: .word, value: 0xff0f) { _, written in small = written.merged(into: small) }
        #expect(small == 0x0f)
    }

    @Test func resetValuesAreFoundByName() {
        #expect(map.reset(.length) == 0x1122_3344)
        #expect(map.reset(.output) == 0)
    }
}
