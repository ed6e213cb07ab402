import Device
import Linux
import PCI
import Testing

/// What a device has of memory is the host's, and outlives it.
@Suite struct DeviceMemoryTests {
    /// Memory behind BAR 0, and some of its own; a register in BAR 2.
    private final class Slate: Device, MemoryKeepingDevice {
        static let type = DeviceType(name: "slate", summary: "Something to write on")
        let identity = PCIIdentity(vendor: 0x1234, device: 0x1a3c, class: .unclassified)
        let bars: [BAR]
        let memory: [MappedBytes]
        private(set) var state = 0

        convenience init(options: DeviceOptions, host: Host) throws {
            try self.init(host)
        }

        init(_ host: Host, front: Int = 16384, backs: [String] = ["back"]) throws {
            let bytes = try host.deviceMemory.take("front", size: front, isBehindBAR: true)
            bars = [.memory(0, size: UInt64(front), memory: bytes), .memory(2, size: 4096)]
            memory = try backs.map { name in try host.deviceMemory.take(name, size: 4096) }
        }

        func read(_ bar: Int, at offset: UInt64, width: AccessWidth) -> UInt64 { UInt64(state) }
        func write(_ bar: Int, at offset: UInt64, width: AccessWidth, value: UInt64) { state = Int(value & 0xff) }
        func reset() { state = 0 }
        func restore(_ state: Int) throws(StateError) {
            guard state != 13 else { throw StateError("13 brings bad luck.") }
            self.state = state
        }
    }

    private let host: Host

    init() throws {
        host = Host(loop: try EventLoop())
    }

    private func function() throws -> Function { try Function(Slate(host), host: host) }

    @Test func aDeviceMadeAnewFindsTheSameMemoryAndGoesOn() throws {
        let first = try function()
        try first.store(42, region: 2, offset: 0)
        try first.store(7, region: 0, offset: 9000)
        let memory = first.ownMemory[0]
        memory.publish(99, at: 8)
        let second = try first.remade { try Slate($0) }
        #expect(second !== first && second.region(0)?.memory === first.region(0)?.memory)
        #expect(second.ownMemory[0] === memory && memory.number(at: 8) == 99)
        #expect(try second.load(region: 2, offset: 0) == 42)
        #expect(try second.load(region: 0, offset: 9000) == 7)
        #expect(second.isRunning)
        first.region(0)?.memory?.publish(5, at: 0)
        #expect(try second.load(region: 0, offset: 0) == 5)
    }

    @Test func whatNobodyAsksForAnewIsGivenBack() throws {
        weak var left: MappedBytes?
        var current: Function? = try Function(Slate(host, backs: ["back", "other"]), host: host)
        left = current?.ownMemory[1]
        left?.publish(99, at: 0)
        #expect(current?.ownMemory[1].number(at: 0) == 99)
        current = try current?.remade { try Slate($0) }
        #expect(left == nil)
        #expect(current?.ownMemory.count == 1)
        // Whoever asks for it later gets it empty, as if for the first time.
        current = try current?.remade { try Slate($0, backs: ["back", "other"]) }
        #expect(current?.ownMemory.count == 2)
        #expect(current?.ownMemory[1].number(at: 0) == 0)
    }

    @Test func aDeviceAsksForEachNameOnce() throws {
        #expect(throws: DeviceMemoryError.taken("back")) { try Slate(host, backs: ["back", "back"]) }
        let other = Host(loop: try EventLoop())
        _ = try Slate(other)
        #expect(throws: DeviceMemoryError.taken("front")) { try Slate(other) }
    }

    @Test func anotherSizeOrProtectionIsRefusedAndTheDeviceGoesOn() throws {
        let first = try function()
        try first.store(42, region: 2, offset: 0)
        #expect(throws: DeviceMemoryError.size("front", wanted: 32768, kept: 16384)) {
            try first.remade { try Slate($0, front: 32768) }
        }
        #expect(throws: DeviceMemoryError.protection("front", isOwnAlone: false)) {
            try first.remade { host in
                _ = try host.deviceMemory.take("front", size: 16384, isOwnAlone: true)
                return try Slate(host)
            }
        }
        #expect(first.isRunning)
        try first.store(43, region: 2, offset: 0)
        let second = try first.remade { try Slate($0) }
        #expect(try second.load(region: 2, offset: 0) == 43)
    }

    @Test func aDeviceThatCannotGoOnFromThereIsNotTaken() throws {
        let first = try function()
        try first.store(13, region: 2, offset: 0)
        let memory = first.ownMemory[0]
        #expect(throws: StateError.self) { try first.remade { try Slate($0) } }
        try first.store(14, region: 2, offset: 0)
        #expect(try first.remade { try Slate($0) }.ownMemory[0] === memory)
    }

    @Test func aFunctionThatStandsStillIsMadeAnewStandingStill() throws {
        let first = try function()
        first.setRunning(false)
        let second = try first.remade { try Slate($0) }
        #expect(!second.isRunning)
        #expect(throws: AccessError.self) { try second.store(1, region: 2, offset: 0) }
    }

    @Test func itsMakerIsToldWhatIsBehindABAR() throws {
        var told: [String: Bool] = [:]
        let memory = DeviceMemory { (name, size, _, isBehindBAR) throws(Errno) in
            told[name] = isBehindBAR
            return try MemoryFile(name: name, size: size)
        }
        _ = try Slate(Host(loop: EventLoop(), deviceMemory: memory))
        #expect(told == ["front": true, "back": false])
    }

    /// As under a hypervisor that maps the memory by means of its own.
    @Test func memoryNeedsNoDescriptor() throws {
        let memory = DeviceMemory { (name, size, _, _) throws(Errno) in
            MappedBytes(try MemoryFile(name: name, size: size).mapping)
        }
        let host = Host(loop: try EventLoop(), deviceMemory: memory)
        let function = try Function(Slate(host), host: host)
        #expect(function.region(0)?.memory?.file == nil)
        try function.store(0x55, region: 0, offset: 8191)
        #expect(try function.load(region: 0, offset: 8191) == 0x55)
        // What is zero isn't saved.
        let reader = try StateReader(function)
        #expect(reader.size < 3 * 4096)
        var state = [UInt8](repeating: 0, count: reader.size)
        var span = state.mutableSpan
        var bytes = span.mutableBytes
        #expect(reader.read(into: &bytes) == reader.size)
        try function.store(0x66, region: 0, offset: 0)
        let writer = StateWriter(function)
        try writer.write(state.span.bytes)
        try writer.finish()
        #expect(try function.load(region: 0, offset: 0) == 0)
        #expect(try function.load(region: 0, offset: 8191) == 0x55)
    }
}

extension Function {
    fileprivate func store(_ byte: UInt8, region: Int, offset: UInt64) throws(AccessError) {
        try write(region: region, offset: offset, from: [byte].span.bytes)
    }

    fileprivate func load(region: Int, offset: UInt64) throws(AccessError) -> UInt8 {
        var bytes: [UInt8] = [0]
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try read(region: region, offset: offset, into: &raw)
        return bytes[0]
    }
}
