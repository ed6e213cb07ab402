import CXen
import CXenDomain
import GuestMemory
import Linux
import Xen

/// A small domain for a test, with one processor that does what it is told. It ends with this object.
final class TestDomain {
    /// What a domain has of a PC.
    enum Kind: String, CaseIterable {
        case hvm, pvh
    }

    /// In bytes, from address 0 on.
    static let memorySize: UInt64 = 16 << 20

    let number: UInt16
    let memory: ForeignMemory
    let processor: Processor
    private let toolstack: Descriptor

    /// - Parameters:
    ///   - hasOurs: whether the device model that its processor asks what to do is known as one of ours.
    ///   - spareMemory: how much it may have besides, in bytes.
    init(_ kind: Kind, hasOurs: Bool = false, spareMemory: UInt64 = 1 << 20) throws {
        toolstack = Descriptor(owning: try Self.check("open privcmd", cxd_open()))
        number = UInt16(
            try Self.check("create", cxd_create(toolstack.raw, kind == .hvm, Self.memorySize + spareMemory)))
        do {
            try Self.check("populate", cxen_populate(toolstack.raw, number, 0, Self.memorySize / 4096))
            memory = ForeignMemory(of: try Domain(number))
            processor = try Processor(of: number, isOurs: hasOurs)
            try load()
            try Self.check("start", cxd_start(toolstack.raw, number, Self.program, Self.stack))
        } catch {
            _ = cxd_destroy(toolstack.raw, number)
            throw error
        }
    }

    deinit {
        end()
    }

    /// Ends it now.
    func end() {
        memory.drop()
        processor.domainHasEnded()
        _ = cxd_destroy(toolstack.raw, number)
    }

    /// Whether Xen has nothing of it any more: nobody has anything of it mapped.
    var isGone: Bool {
        get throws {
            do throws(XenError) {
                _ = try Domain(number).countProcessors()
                return false
            } catch {
                guard error.errno == .noSuchProcess else { throw error }
                return true
            }
        }
    }

    private static let program: UInt32 = 0x1_0000
    private static let stack: UInt32 = 0x2_0000

    /// The program, and the tables of segments and interrupts.
    private func load() throws {
        let size = cxd_guest_size()
        // SAFETY: the program's own bytes, which are constant.
        let bytes = cxd_guest_bytes()!
        let code = RawSpan(_unsafeStart: bytes, byteCount: size)
        try memory.write(UInt64(Self.program), from: code)
        for (index, segment) in [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff].enumerated() {
            try store(UInt64(segment), at: UInt64(cxd_segments + 8 * index))
        }
        for index in 0..<16 {
            let handler = UInt64(Self.program) + UInt64(cxd_guest_handler(UInt32(index)))
            let gate = handler & 0xffff | 8 << 16 | 0x8e00 << 32 | (handler >> 16) << 48
            try store(gate, at: UInt64(cxd_gates + 8 * (0x40 + index)))
        }
    }

    /// Has each interrupt's handler clear the lowest bit of a register of causes.
    func setCauses(_ register: UInt32) throws {
        let word = [register]
        try memory.write(UInt64(Self.program) + UInt64(cxd_guest_causes()), from: word.span.bytes)
    }

    func store(_ value: UInt64, at address: UInt64) throws {
        let values = [value]
        try memory.write(address, from: values.span.bytes)
    }

    func bytes(at address: UInt64, count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try memory.read(address, into: &raw)
        return bytes
    }

    func store(_ bytes: [UInt8], at address: UInt64) throws {
        try memory.write(address, from: bytes.span.bytes)
    }

    /// Has the processor give a page of its memory back. XENMEM_decrease_reservation
    func giveBack(_ page: UInt64) throws {
        let argument: UInt64 = 0x10_0000
        // struct xen_memory_reservation of 32 bits: frames, count, order, flags, DOMID_SELF.
        try store(page / 4096, at: argument)
        try store(argument | 1 << 32, at: argument + 64)
        try store(0, at: argument + 72)
        try store(0x7ff0, at: argument + 80)
        let (memoryOperation, decreaseReservation): (UInt32, UInt32) = (12, 1)
        try expect(
            processor.hypercall(memoryOperation, decreaseReservation, UInt32(argument) + 64), 1, "pages given back")
    }

    @discardableResult
    private static func check(_ what: String, _ result: Int32) throws -> Int32 {
        guard result >= 0 else { throw Failed("Can't \(what): \(Errno(rawValue: -result)).") }
        return result
    }
}
