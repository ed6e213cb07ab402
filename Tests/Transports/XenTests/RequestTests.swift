import CXen
import SeededRandom
import Testing

@testable import Xen

/// What Xen's `struct ioreq` means, and what of it nobody believes.
struct RequestTests {
    private static func raw(
        _ type: Int, address: UInt64 = 0x1000, data: UInt64 = 0, width: UInt32 = 4, count: UInt32 = 1, flags: Int = 0
    ) -> cxen_request {
        cxen_request(
            address: address, data: data, count: count, size: width, port: 7, unused: 0, flags: UInt8(flags),
            type: UInt8(type))
    }

    private static func access(_ raw: cxen_request) throws -> Request.Access {
        guard case .access(let access) = try Request(raw) else { throw Request.Problem.unknownType(raw.type) }
        return access
    }

    @Test func aWriteHasItsValue() throws {
        let access = try Self.access(Self.raw(cxen_type_memory, address: 0xe000_0010, data: 0x1234))
        #expect(access.space == .memory && access.address == 0xe000_0010 && access.width == 4 && access.count == 1)
        #expect(!access.isRead && access.data == .value(0x1234))
    }

    @Test func whatLiesWhereAReadsValueWillBeIsNoValue() throws {
        let access = try Self.access(Self.raw(cxen_type_port, data: 0x99, flags: cxen_flag_read))
        #expect(access.isRead && access.data == .value(0) && access.space == .ports)
    }

    @Test func aConfigurationAccessNamesFunctionAndRegister() throws {
        let access = try Self.access(Self.raw(cxen_type_configuration, address: 0x28 << 32 | 0x3d, width: 1))
        #expect(access.space == .configuration(function: 0x28) && access.address == 0x3d)
    }

    /// Xen's states: free, asked, in hand, answered. One that is in hand was in that of a process that was killed.
    @Test(arguments: [(0, false), (1, true), (2, true), (3, false)] as [(UInt8, Bool)])
    func aRequestIsTakenThatWaitsForAnAnswer(state: UInt8, isTaken: Bool) {
        var slot = Self.raw(cxen_type_memory, flags: Int(state) | cxen_flag_read)
        var copy = cxen_request()
        #expect(cxen_take_request(&slot, &copy) == isTaken)
        #expect(copy.address == (isTaken ? 0x1000 : 0))
        #expect(Int(slot.flags) == (isTaken ? 2 : Int(state)) | cxen_flag_read)
        if isTaken { cxen_answer_request(&slot, 0x77) }
        #expect(!isTaken || slot.flags & 15 == 3 && slot.data == 0x77)
    }

    @Test func anInvalidationIsNoAccess() throws {
        #expect(try Request(Self.raw(cxen_type_invalidate)) == .invalidation)
    }

    @Test func aStringGoesUpwardsOrDownwards() throws {
        let flags = cxen_flag_indirect
        let up = try Self.access(
            Self.raw(cxen_type_memory, address: 0x1000, data: 0x5000, width: 2, count: 3, flags: flags))
        #expect((0..<3).map(up.address(of:)) == [0x1000, 0x1002, 0x1004])
        #expect((0..<3).map { up.place(of: $0, from: 0x5000) } == [0x5000, 0x5002, 0x5004])
        let down = try Self.access(
            Self.raw(
                cxen_type_memory, address: 0x1008, data: 0x5008, count: 3, flags: flags | cxen_flag_downwards))
        #expect((0..<3).map(down.address(of:)) == [0x1008, 0x1004, 0x1000])
        #expect((0..<3).map { down.place(of: $0, from: 0x5008) } == [0x5008, 0x5004, 0x5000])
    }

    @Test func aStringStaysAtItsPort() throws {
        let access = try Self.access(
            Self.raw(cxen_type_port, address: 0xc000, data: 0x5000, count: 9, flags: cxen_flag_indirect))
        #expect(access.address(of: 8) == 0xc000)
        #expect(access.place(of: 8, from: 0x5000) == 0x5020)
    }

    @Test(arguments: [0, 3, 5, 16, UInt32.max])
    func aWidthThatNoProcessorHasIsRefused(width: UInt32) {
        #expect(throws: Request.Problem.width(width)) { try Request(Self.raw(cxen_type_memory, width: width)) }
    }

    @Test(arguments: [0, 4097, UInt32.max])
    func aCountThatXenNeverMakesIsRefused(count: UInt32) {
        #expect(throws: Request.Problem.count(count)) { try Request(Self.raw(cxen_type_memory, count: count)) }
    }

    @Test(arguments: [3, 5, 7, 10, 255])
    func anUnknownTypeIsRefused(type: Int) {
        #expect(throws: Request.Problem.unknownType(UInt8(type))) { try Request(Self.raw(type)) }
    }

    @Test func aStringEndsWithTheAddressSpace() throws {
        let flags = cxen_flag_indirect
        let last = UInt64.max - 7
        _ = try Self.access(Self.raw(cxen_type_memory, address: last, data: last, count: 2, flags: flags))
        #expect(throws: Request.Problem.self) {
            try Request(Self.raw(cxen_type_memory, address: last, data: 0, count: 3, flags: flags))
        }
        #expect(throws: Request.Problem.self) {
            try Request(Self.raw(cxen_type_port, address: 0x60, data: last, count: 3, flags: flags))
        }
    }

    @Test func aStringBeginsWithTheAddressSpace() throws {
        let flags = cxen_flag_indirect | cxen_flag_downwards
        _ = try Self.access(Self.raw(cxen_type_memory, address: 4, data: 4, count: 2, flags: flags))
        #expect(throws: Request.Problem.self) {
            try Request(Self.raw(cxen_type_memory, address: 4, data: 100, count: 3, flags: flags))
        }
        #expect(throws: Request.Problem.self) {
            try Request(Self.raw(cxen_type_memory, address: 100, data: 4, count: 3, flags: flags))
        }
    }

    /// Whatever the page holds, it is refused, or all of it lies in the address space.
    @Test func noBytesLeadOutOfTheAddressSpace() {
        var random = SplitMix(seed: 12)
        for _ in 0..<100_000 {
            let edges: [UInt64] = [0, 1, 4095, 1 << 32, .max - 4096, .max]
            let raw = Self.raw(
                Int.random(in: 0...10, using: &random),
                address: edges.randomElement(using: &random)! &+ UInt64.random(in: 0...64, using: &random),
                data: edges.randomElement(using: &random)! &- UInt64.random(in: 0...64, using: &random),
                width: UInt32.random(in: 0...9, using: &random), count: UInt32.random(in: 0...5000, using: &random),
                flags: Int.random(in: 0...255, using: &random))
            guard let access = try? Self.access(raw) else { continue }
            for index in [0, access.count - 1] {
                // They trap when they don't.
                _ = access.address(of: index)
                if case .memory(let start) = access.data {
                    #expect(access.place(of: index, from: start) <= UInt64.max - UInt64(access.width - 1))
                }
            }
        }
    }
}
