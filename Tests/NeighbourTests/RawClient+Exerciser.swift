import FakeGuest
import Linux
import VFIO

/// The exerciser's registers, by message.
extension RawClient {
    static let scratch: UInt64 = 0x04
    static let raise: UInt64 = 0x10
    static let source: UInt64 = 0x20
    static let destination: UInt64 = 0x28
    static let length: UInt64 = 0x30
    static let command: UInt64 = 0x38
    static let status: UInt64 = 0x3c
    static let copy: UInt32 = 3
    static let fill: UInt32 = 4

    func read<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type, at offset: UInt64) throws -> Value {
        let reply = try call(.regionRead, wire(offset, UInt32(0), UInt32(MemoryLayout<Value>.size)))
        guard reply.errno == nil, let value = reply.field(type, at: 16) else {
            throw Failure("A read at \(offset) was answered by \(reply.header).")
        }
        return value
    }

    static func writing(_ value: some FixedWidthInteger, at offset: UInt64, region: UInt32 = 0) -> [UInt8] {
        wire(offset, region, UInt32(value.bitWidth / 8), value)
    }

    func write(_ value: some FixedWidthInteger, at offset: UInt64) throws {
        let reply = try call(.regionWrite, Self.writing(value, at: offset))
        guard reply.errno == nil else { throw Failure("A write at \(offset) was answered by \(reply.header).") }
    }

    /// Lets the device reach memory and send messages: bus mastering, bit 2 of the command register.
    func setBusMaster() throws {
        let reply = try call(.regionWrite, Self.writing(UInt16(4), at: 4, region: 7))
        guard reply.errno == nil else { throw Failure("Bus mastering was answered by \(reply.header).") }
    }

    /// Maps memory, by descriptor or, without one, by message.
    func map(_ file: Int32?, at address: UInt64, size: UInt64, offset: UInt64 = 0) throws {
        let map = DMAMap(flags: [.read, .write], offset: offset, address: address, length: size)
        let reply = try call(.dmaMap, wire(map.write), descriptors: file.map { [$0] } ?? [])
        guard reply.errno == nil else { throw Failure("A map was answered by \(reply.header).") }
    }

    /// Sets up the first so many MSI-X vectors.
    func setInterrupts(_ events: [EventFD]) throws {
        let set = IRQSet(kind: .msix, count: UInt32(events.count), data: .eventfd, action: .trigger)
        let reply = try call(.deviceSetIRQs, wire(set.write), descriptors: events.map { $0.descriptor.raw })
        guard reply.errno == nil else { throw Failure("Interrupts were answered by \(reply.header).") }
    }
}
