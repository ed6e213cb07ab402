import Device
import EchoDevice
import FakeDriver
import FakeGuest
import Linux
import Testing
import VFIOUserClient
import VFIOUserServer
import Virtio

/// How rings are laid out, and what each side says to save notifications.
struct RingKind: CustomTestStringConvertible, Sendable {
    var isPacked: Bool
    var hasEventIndex: Bool

    static let all = [
        RingKind(isPacked: false, hasEventIndex: false), RingKind(isPacked: false, hasEventIndex: true),
        RingKind(isPacked: true, hasEventIndex: false), RingKind(isPacked: true, hasEventIndex: true),
    ]
    static let split = RingKind(isPacked: false, hasEventIndex: false)
    static let packed = RingKind(isPacked: true, hasEventIndex: false)

    var features: VirtioDriver.Feature {
        var features: VirtioDriver.Feature = [.version1, .indirect, .ringReset]
        if isPacked { features.insert(.packed) }
        if hasEventIndex { features.insert(.eventIndex) }
        return features
    }

    var testDescription: String {
        (isPacked ? "packed" : "split") + (hasEventIndex ? " with event index" : "")
    }
}

/// How the device reaches guest memory.
enum MemoryKind: CaseIterable {
    case mapped, byMessage
}

/// What a driver reaches without a client.
private final class NoRegisters: Registers {
    func load(region: Int, offset: UInt64, width: AccessWidth) throws -> UInt64 { throw Errno.connectionReset }
    func store(_ value: UInt64, region: Int, offset: UInt64, width: AccessWidth) throws { throw Errno.connectionReset }
}

/// An ``EchoDevice`` behind a socket, a guest's RAM, and a driver.
final class Bench {
    let device: ServedDevice
    /// nil while none is connected.
    private var connection: Client?
    private let left: EventFD
    let ram: GuestRAM
    let driver: VirtioDriver
    private let memory: MemoryKind

    static let ramAddress: UInt64 = 0x10_0000
    static let ramSize = 1 << 20

    convenience init(options: [String] = [], memory: MemoryKind = .mapped) throws {
        try self.init(memory: memory) { host in
            typealias Echo = VirtioFunction<EchoDevice>
            return try Echo(options: DeviceOptions(options, for: Echo.type), host: host)
        }
    }

    init(memory: MemoryKind = .mapped, ram: GuestRAM? = nil, make: (Host) throws -> any Device) throws {
        let left = try EventFD()
        self.left = left
        var configuration = Server.Configuration()
        configuration.onEvent = { if case .clientLeft = $0 { left.signal() } }
        device = try ServedDevice(configuration: configuration, make: make)
        let client = try Self.connect(to: device)
        connection = client
        self.ram = try ram ?? GuestRAM(at: Self.ramAddress, size: Self.ramSize)
        self.memory = memory
        driver = try VirtioDriver(client, ram: self.ram)
        try map()
    }

    private static func connect(to device: ServedDevice) throws -> Client {
        var configuration = Client.Configuration()
        configuration.patience = .seconds(10)
        return try Client(path: device.path, configuration: configuration)
    }

    var client: Client {
        get throws { try #require(connection) }
    }

    /// The client goes, and its memory with it.
    func leave() throws {
        connection = nil
        driver.registers = NoRegisters()
        #expect(left.wait(within: nil) == 1)
    }

    /// A client comes that has mapped nothing yet.
    func comeBack() throws {
        let client = try Self.connect(to: device)
        connection = client
        driver.registers = client
    }

    func map() throws {
        let client = try client
        client.memory = ram
        switch memory {
        case .mapped: try client.map(address: ram.address, size: UInt64(Self.ramSize), file: ram.file.descriptor)
        case .byMessage: try client.map(address: ram.address, size: UInt64(Self.ramSize))
        }
    }

    /// A bench with a driver that has agreed on a kind of ring and is ready, and queue 0 set up.
    static func ready(
        _ kind: RingKind, queue: Int = 0, size: Int = 8, memory: MemoryKind = .mapped
    ) throws -> (Bench, any DriverQueue) {
        let bench = try Bench(memory: memory)
        return (bench, try bench.start(kind, queue: queue, size: size))
    }

    func start(_ kind: RingKind, queue index: Int = 0, size: Int = 8) throws -> any DriverQueue {
        #expect(try driver.negotiate(kind.features))
        let queue = try driver.queue(index, size: size, vector: UInt16(index + 1))
        try driver.setDriverOK()
        return queue
    }

    /// What the device's code says, on its own thread.
    func inside<Result: Sendable>(_ body: @escaping @Sendable (VirtioFunction<EchoDevice>) -> Result) throws -> Result {
        try #require(device.onThread { function, _ in (function.device as? VirtioFunction<EchoDevice>).map(body) })
    }

    var failure: VirtioFailure? {
        get throws { try inside { $0.failure } }
    }

    /// Three message-signalled interrupts: changes of the configuration, and one for each queue.
    func useMessages() throws -> [EventFD] {
        let eventFDs = try (0..<3).map { _ in try EventFD() }
        try client.setEventFDs(eventFDs, kind: .msix)
        return eventFDs
    }

    /// Waits until so many chains came back, for as long as the device has turns to make.
    ///
    /// - Returns: how many did.
    func collect(_ count: Int, from queue: any DriverQueue) throws -> Int {
        try collectIDs(count, from: queue).count
    }

    /// Waits as ``collect(_:from:)`` does.
    ///
    /// - Returns: which chains came back.
    func collectIDs(_ count: Int, from queue: any DriverQueue) throws -> [UInt16] {
        var ids: [UInt16] = []
        for _ in 0..<100 where ids.count < count {
            while let used = queue.takeUsed() { ids.append(used.id) }
            // What the device's loop has to do comes in between.
            _ = try inside { _ in true }
        }
        return ids
    }

    /// As a guest does, before the hypervisor sets its messages up.
    func enableMSIX() throws {
        var place = Int(try driver.configuration(0x34, .byte))
        while place != 0, try driver.configuration(place, .byte) != 0x11 {
            place = Int(try driver.configuration(place + 1, .byte))
        }
        try driver.setConfiguration(place + 2, .word, 0x8000)
    }

    /// Has queue 0 echo some bytes, and checks that it does.
    func echo(_ text: String, by queue: any DriverQueue) throws {
        let bytes = Array(text.utf8)
        let source = driver.allocate(bytes)
        let target = driver.allocate(bytes.count)
        let id = queue.add(.readable(source, bytes.count), .writable(target, bytes.count))
        try driver.notify(queue)
        #expect(queue.takeUsed() == Used(id: id, count: UInt32(bytes.count)))
        #expect(driver.bytes(at: target, count: bytes.count) == bytes)
    }
}
