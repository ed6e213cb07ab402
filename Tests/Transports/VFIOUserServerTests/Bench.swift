import FakeGuest
import Linux
import Testing
import VFIO
import VFIOUserClient
import VFIOUserServer

/// A served device, and a client that has agreed on a version with its server.
final class Bench {
    let device: ServedDevice
    let client: RawClient

    /// - Parameter isBusMaster: whether the device may reach memory and send messages, as a driver lets it.
    init(
        _ type: String = "exerciser", options: [String] = [],
        configuration: Server.Configuration = Server.Configuration(), offer: String = RawClient.offer,
        isBusMaster: Bool = true
    ) throws {
        device = try ServedDevice(type, options: options, configuration: configuration)
        client = try RawClient(path: device.path)
        try client.negotiate(offer)
        if isBusMaster { try setBusMaster(true) }
    }

    /// - Parameter client: agrees on a version itself.
    init(_ device: ServedDevice, _ client: RawClient) {
        self.device = device
        self.client = client
    }

    init(_ device: ServedDevice) throws {
        self.device = device
        client = try RawClient(path: device.path)
        try client.negotiate()
        try setBusMaster(true)
    }

    /// Bit 2 of the command register.
    func setBusMaster(_ on: Bool) throws {
        try write(UInt16(on ? 4 : 0), region: 7, at: 4)
    }

    /// Sends a command that must succeed.
    ///
    /// - Returns: the reply.
    @discardableResult
    func call(
        _ command: Command, _ payload: [UInt8] = [], descriptors: [Int32] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> RawClient.Message {
        let reply = try client.call(command, payload, descriptors: descriptors)
        #expect(reply.errno == nil, sourceLocation: sourceLocation)
        #expect(reply.header.command == command.rawValue, sourceLocation: sourceLocation)
        #expect(reply.header.type == .reply, sourceLocation: sourceLocation)
        return reply
    }

    /// Sends a command that must be refused, with nothing but a header, and after which all goes on.
    func expectRefusal(
        _ errno: Errno, of command: Command, _ payload: [UInt8] = [], descriptors: [Int32] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let reply = try client.call(command, payload, descriptors: descriptors)
        #expect(reply.errno == errno, sourceLocation: sourceLocation)
        #expect(reply.payload.isEmpty && reply.files.isEmpty, sourceLocation: sourceLocation)
        try expectAlive(sourceLocation)
    }

    /// A right command is answered rightly.
    func expectAlive(_ sourceLocation: SourceLocation = #_sourceLocation) throws {
        let reply = try client.call(.regionRead, wire(UInt64(0), UInt32(7), UInt32(2)))
        #expect(reply.errno == nil, sourceLocation: sourceLocation)
        #expect(reply.field(UInt16.self, at: 16) == 0x1234, sourceLocation: sourceLocation)
    }

    /// A command that the sender wants no reply to is carried out without one: the next reply is that of the next
    /// command.
    func post(
        _ command: Command, _ payload: [UInt8] = [], descriptors: [Int32] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try client.send(command, payload, descriptors: descriptors, flags: .noReply)
        try expectAlive(sourceLocation)
    }

    // MARK: Registers

    func read<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type, region: UInt32 = 0, at offset: UInt64
    ) throws -> Value {
        let reply = try call(.regionRead, wire(offset, region, UInt32(MemoryLayout<Value>.size)))
        return try #require(reply.field(type, at: 16))
    }

    func write(_ value: any FixedWidthInteger, region: UInt32 = 0, at offset: UInt64) throws {
        let data = wire(value)
        try call(.regionWrite, wire(offset, region, UInt32(data.count)) + data)
    }

    /// Where a capability stands in configuration space.
    func capability(_ id: UInt8) throws -> UInt64 {
        var position = UInt64(try read(UInt8.self, region: 7, at: 0x34))
        while position != 0, try read(UInt8.self, region: 7, at: position) != id {
            position = UInt64(try read(UInt8.self, region: 7, at: position + 1))
        }
        return position
    }

    // MARK: Memory

    func map(_ memory: GuestRAM, flags: DMAMapFlags = [.read, .write]) throws {
        let map = DMAMap(flags: flags, address: memory.address, length: UInt64(memory.file.size))
        try call(.dmaMap, wire(map.write), descriptors: [memory.file.descriptor.raw])
    }

    /// Maps memory that has no descriptor.
    func mapRemote(address: UInt64, size: UInt64, flags: DMAMapFlags = [.read, .write]) throws {
        try call(.dmaMap, wire(DMAMap(flags: flags, address: address, length: size).write))
    }

    /// Has the exerciser move memory.
    ///
    /// - Returns: its status register.
    func transfer(
        _ operation: UInt32, from source: UInt64 = 0, to destination: UInt64 = 0, length: UInt32
    ) throws -> UInt32 {
        try startTransfer(operation, from: source, to: destination, length: length)
        let reply = try #require(try client.receive())
        #expect(reply.errno == nil)
        return try read(UInt32.self, at: 0x3c)
    }

    /// As ``transfer(_:from:to:length:)``, but the reply to the last write is still to come.
    func startTransfer(
        _ operation: UInt32, from source: UInt64 = 0, to destination: UInt64 = 0, length: UInt32
    ) throws {
        try write(source, at: 0x20)
        try write(destination, at: 0x28)
        try write(length, at: 0x30)
        try client.send(.regionWrite, wire(UInt64(0x38), UInt32(0), UInt32(4), operation))
    }

    static let load: UInt32 = 1
    static let store: UInt32 = 2
    static let copy: UInt32 = 3
    static let fill: UInt32 = 4
}

/// Wrong lengths of a payload that has one right length.
func wrongLengths(of payload: [UInt8]) -> [[UInt8]] {
    [[], Array(payload.dropLast()), payload + [0]]
}

/// A client whose user another thread is for a while.
final class Lent: @unchecked Sendable {
    let client: RawClient
    init(_ client: RawClient) { self.client = client }
}
