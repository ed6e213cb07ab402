import Device
import FakeGuest

/// The driver's side of a virtio PCI device: finds its structures by the capabilities, shakes hands, sets up queues in
/// guest RAM. Knows nothing of the device's code. VIRTIO 1.2, sections 3 and 4.1.
public final class VirtioDriver {
    /// Another after the device has moved.
    public var registers: any Registers
    public let ram: GuestRAM
    /// Where the structures are, by their `cfg_type`.
    public private(set) var structures: [UInt8: Structure] = [:]
    /// What was agreed on.
    public private(set) var features: Feature = []
    /// `virtio_pci_common_cfg`, the structure of type 1.
    private var common: Structure?
    /// By queue, once they were looked up.
    private var doorbells: [Int: (bar: Int, offset: UInt64)] = [:]
    /// The next byte of RAM that nobody uses.
    private var free: UInt64

    /// `virtio_pci_cap`
    public struct Structure: Equatable, Sendable {
        /// Where the capability is in configuration space.
        public var capability: Int
        public var bar: Int
        public var offset: UInt64
        public var length: UInt32
    }

    public struct Feature: OptionSet, Sendable {
        public let rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        public static let indirect = Feature(rawValue: 1 << 28)
        public static let eventIndex = Feature(rawValue: 1 << 29)
        public static let version1 = Feature(rawValue: 1 << 32)
        public static let accessPlatform = Feature(rawValue: 1 << 33)
        public static let packed = Feature(rawValue: 1 << 34)
        public static let ringReset = Feature(rawValue: 1 << 40)
    }

    public enum Status {
        public static let acknowledge: UInt64 = 1
        public static let driver: UInt64 = 2
        public static let driverOK: UInt64 = 4
        public static let featuresOK: UInt64 = 8
        public static let needsReset: UInt64 = 64
        public static let failed: UInt64 = 128
    }

    /// The fields of `virtio_pci_common_cfg`.
    public enum Field: UInt64, Sendable {
        case deviceFeatureSelect = 0x00
        case deviceFeature = 0x04
        case driverFeatureSelect = 0x08
        case driverFeature = 0x0c
        case configVector = 0x10
        case queueCount = 0x12
        case status = 0x14
        case generation = 0x15
        case queueSelect = 0x16
        case queueSize = 0x18
        case queueVector = 0x1a
        case queueEnable = 0x1c
        case queueNotifyOffset = 0x1e
        case queueDescriptors = 0x20
        case queueDriver = 0x28
        case queueDevice = 0x30
        case queueReset = 0x3a

        var width: AccessWidth {
            switch self {
            case .status, .generation: .byte
            case .deviceFeatureSelect, .deviceFeature, .driverFeatureSelect, .driverFeature: .dword
            case .queueDescriptors, .queueDriver, .queueDevice: .qword
            default: .word
            }
        }
    }

    private static let configurationSpace = 7
    private static let vendorSpecific: UInt64 = 0x09

    /// Finds the structures; touches no register of the device.
    public init(_ registers: any Registers, ram: GuestRAM) throws {
        self.registers = registers
        self.ram = ram
        free = ram.address
        var place = Int(try configuration(0x34, .byte))
        while place != 0 {
            if try configuration(place, .byte) == Self.vendorSpecific {
                let type = UInt8(try configuration(place + 3, .byte))
                structures[type] = Structure(
                    capability: place, bar: Int(try configuration(place + 4, .byte)),
                    offset: try configuration(place + 8, .dword), length: UInt32(try configuration(place + 12, .dword)))
            }
            place = Int(try configuration(place + 1, .byte))
        }
        common = structures[1]
    }

    /// A number in configuration space.
    public func configuration(_ offset: Int, _ width: AccessWidth) throws -> UInt64 {
        try registers.load(region: Self.configurationSpace, offset: UInt64(offset), width: width)
    }

    public func setConfiguration(_ offset: Int, _ width: AccessWidth, _ value: UInt64) throws {
        try registers.store(value, region: Self.configurationSpace, offset: UInt64(offset), width: width)
    }

    // MARK: Registers

    public subscript(_ field: Field) -> UInt64 {
        get throws {
            let common = try commonStructure
            return try registers.load(region: common.bar, offset: common.offset + field.rawValue, width: field.width)
        }
    }

    public func set(_ field: Field, _ value: UInt64) throws {
        let common = try commonStructure
        try registers.store(value, region: common.bar, offset: common.offset + field.rawValue, width: field.width)
    }

    private var commonStructure: Structure {
        get throws {
            guard let common else { throw DriverError("There is no structure of type 1.") }
            return common
        }
    }

    private func structure(_ type: UInt8) throws -> Structure {
        guard let structure = structures[type] else { throw DriverError("There is no structure of type \(type).") }
        return structure
    }

    /// Reads, and so clears, the interrupt status.
    public func interruptStatus() throws -> UInt64 {
        let structure = try structure(3)
        return try registers.load(region: structure.bar, offset: structure.offset, width: .byte)
    }

    /// A number in the device's own configuration.
    public func deviceConfiguration(_ offset: UInt64, _ width: AccessWidth) throws -> UInt64 {
        let structure = try structure(4)
        return try registers.load(region: structure.bar, offset: structure.offset + offset, width: width)
    }

    public func setDeviceConfiguration(_ offset: UInt64, _ width: AccessWidth, _ value: UInt64) throws {
        let structure = try structure(4)
        try registers.store(value, region: structure.bar, offset: structure.offset + offset, width: width)
    }

    /// Where a write notifies the device of a queue.
    public func doorbell(of queue: Int) throws -> (bar: Int, offset: UInt64) {
        let structure = try structure(2)
        let multiplier = try configuration(structure.capability + 16, .dword)
        try set(.queueSelect, UInt64(queue))
        return (structure.bar, structure.offset + multiplier * (try self[.queueNotifyOffset]))
    }

    public func notify(_ queue: Int) throws {
        // As drivers do, it is looked up once.
        let doorbell = try doorbells[queue] ?? doorbell(of: queue)
        doorbells[queue] = doorbell
        try registers.store(UInt64(queue), region: doorbell.bar, offset: doorbell.offset, width: .word)
    }

    public func notify(_ queue: any DriverQueue) throws { try notify(queue.index) }

    // MARK: Handshake

    public var offered: Feature {
        get throws {
            var words: [UInt64] = []
            for word in 0..<2 {
                try set(.deviceFeatureSelect, UInt64(word))
                words.append(try self[.deviceFeature])
            }
            return Feature(rawValue: words[0] | words[1] << 32)
        }
    }

    public func reset() throws {
        try set(.status, 0)
        features = []
    }

    /// From reset to FEATURES_OK.
    ///
    /// - Returns: whether the device takes the features.
    public func negotiate(_ features: Feature) throws -> Bool {
        // Bus Master, bit 2 of the command register: without it no queue can be reached.
        try setConfiguration(0x04, .word, try configuration(0x04, .word) | 1 << 2)
        try reset()
        try set(.status, Status.acknowledge)
        try set(.status, Status.acknowledge | Status.driver)
        for word in 0..<2 {
            try set(.driverFeatureSelect, UInt64(word))
            try set(.driverFeature, features.rawValue >> UInt64(32 * word) & 0xffff_ffff)
        }
        try set(.status, Status.acknowledge | Status.driver | Status.featuresOK)
        let isTaken = try self[.status] & Status.featuresOK != 0
        if isTaken { self.features = features }
        return isTaken
    }

    public func setDriverOK() throws {
        try set(.status, try self[.status] | Status.driverOK)
    }

    public var needsReset: Bool {
        get throws { try self[.status] & Status.needsReset != 0 }
    }

    // MARK: Memory and queues

    /// A piece of RAM that nobody else has.
    ///
    /// - Returns: its address.
    public func allocate(_ count: Int, alignment: UInt64 = 16) -> UInt64 {
        free = (free + alignment - 1) / alignment * alignment
        defer { free += UInt64(count) }
        return free
    }

    /// Gives all pieces back.
    public func freeAll() {
        free = ram.address
    }

    /// A piece of RAM with these bytes.
    public func allocate(_ bytes: [UInt8]) -> UInt64 {
        let address = allocate(bytes.count)
        store(bytes, at: address)
        return address
    }

    public func bytes(at address: UInt64, count: Int) -> [UInt8] {
        ram.bytes(at: Int(address - ram.address), count: count)
    }

    public func store(_ bytes: [UInt8], at address: UInt64) {
        ram.store(bytes, at: Int(address - ram.address))
    }

    public func load<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type, at address: UInt64) -> Value {
        ram.load(type, at: Int(address - ram.address))
    }

    /// Lays out a ring as agreed on, and enables the queue.
    ///
    /// - Parameter vector: the MSI-X vector; none unless given.
    public func queue(_ index: Int, size: Int = 8, vector: UInt16 = 0xffff) throws -> any DriverQueue {
        let queue: any DriverQueue =
            features.contains(.packed)
            ? PackedDriverQueue(self, index: index, size: size) : SplitDriverQueue(self, index: index, size: size)
        try enable(queue, vector: vector)
        return queue
    }

    /// Enables a queue, at its addresses.
    public func enable(_ queue: any DriverQueue, vector: UInt16 = 0xffff) throws {
        try set(.queueSelect, UInt64(queue.index))
        try set(.queueSize, UInt64(queue.size))
        try set(.queueVector, UInt64(vector))
        try set(.queueDescriptors, queue.descriptors)
        try set(.queueDriver, queue.driverArea)
        try set(.queueDevice, queue.deviceArea)
        try set(.queueEnable, 1)
    }
}

/// Why a driver can't go on.
public struct DriverError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}
