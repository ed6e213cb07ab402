import FakeGuest
import Synchronization

/// The driver's side of a queue. Descriptors are handed out in a circle, and nothing checks that those in flight are
/// spared: what a driver may not do, this one can.
public protocol DriverQueue: AnyObject {
    var index: Int { get }
    var size: Int { get }
    var descriptors: UInt64 { get }
    var driverArea: UInt64 { get }
    var deviceArea: UInt64 { get }

    /// Makes a chain available, and doesn't notify.
    ///
    /// - Parameter isIndirect: put the buffers into a table of their own.
    /// - Returns: by which it comes back.
    @discardableResult
    func add(_ buffers: [Buffer], isIndirect: Bool) -> UInt16

    /// The next chain that the device has given back, and how many bytes it has written.
    func takeUsed() -> Used?

    /// Whether the device wants to be notified of what was added since last asked.
    func wantsNotification() -> Bool

    /// Says from when on the driver wants interrupts: for the next chain to be given back, and so many more before it.
    func wantInterrupt(after more: Int)

    /// Says that the driver wants no interrupts at all.
    func wantNoInterrupts()
}

extension DriverQueue {
    @discardableResult
    public func add(_ buffers: Buffer...) -> UInt16 { add(buffers, isIndirect: false) }
}

/// A piece of guest memory in a chain.
public struct Buffer: Equatable, Sendable {
    public var address: UInt64
    public var count: UInt32
    public var isWritable: Bool

    public init(address: UInt64, count: UInt32, isWritable: Bool) {
        self.address = address
        self.count = count
        self.isWritable = isWritable
    }

    /// For the device to read.
    public static func readable(_ address: UInt64, _ count: Int) -> Buffer {
        Buffer(address: address, count: UInt32(count), isWritable: false)
    }

    /// For the device to write.
    public static func writable(_ address: UInt64, _ count: Int) -> Buffer {
        Buffer(address: address, count: UInt32(count), isWritable: true)
    }
}

/// A chain that the device has given back.
public struct Used: Equatable, Sendable {
    public var id: UInt16
    public var count: UInt32

    public init(id: UInt16, count: UInt32) {
        self.id = id
        self.count = count
    }
}

/// The flags of descriptors.
public enum DescriptorFlag {
    public static let next: UInt16 = 1
    public static let write: UInt16 = 2
    public static let indirect: UInt16 = 4
    public static let available: UInt16 = 1 << 7
    public static let used: UInt16 = 1 << 15
}

/// VIRTIO 1.2, section 2.7.
public final class SplitDriverQueue: DriverQueue {
    public let index: Int
    public let size: Int
    public var descriptors: UInt64
    public var driverArea: UInt64
    public var deviceArea: UInt64
    private let driver: VirtioDriver
    private var nextDescriptor = 0
    private var available: UInt16 = 0
    private var notified: UInt16 = 0
    private var used: UInt16 = 0

    public init(_ driver: VirtioDriver, index: Int, size: Int) {
        self.driver = driver
        self.index = index
        self.size = size
        descriptors = driver.allocate(16 * size)
        driverArea = driver.allocate(6 + 2 * size, alignment: 2)
        deviceArea = driver.allocate(6 + 8 * size, alignment: 4)
        for area in [(descriptors, 16 * size), (driverArea, 6 + 2 * size), (deviceArea, 6 + 8 * size)] {
            driver.store([UInt8](repeating: 0, count: area.1), at: area.0)
        }
    }

    /// A descriptor of the table, as it is.
    public func setDescriptor(_ place: Int, address: UInt64, count: UInt32, flags: UInt16, next: UInt16 = 0) {
        driver.store(wire(address, count, flags, next), at: descriptors + 16 * UInt64(place))
    }

    /// Makes a head available, whatever it is.
    public func addHead(_ head: UInt16) {
        driver.store(wire(head), at: driverArea + 4 + 2 * UInt64(Int(available) % size))
        setAvailable(available &+ 1)
    }

    /// Sets the driver's index.
    public func setAvailable(_ index: UInt16) {
        available = index
        atomicMemoryFence(ordering: .releasing)
        driver.store(wire(index), at: driverArea + 2)
    }

    @discardableResult
    public func add(_ buffers: [Buffer], isIndirect: Bool) -> UInt16 {
        if isIndirect {
            let table = driver.allocate(
                buffers.enumerated().flatMap { place, buffer in
                    wire(
                        buffer.address, buffer.count, flags(buffer, isLast: place == buffers.count - 1),
                        UInt16(place + 1))
                })
            let head = take()
            setDescriptor(head, address: table, count: UInt32(16 * buffers.count), flags: DescriptorFlag.indirect)
            addHead(UInt16(head))
            return UInt16(head)
        }
        let places = buffers.map { _ in take() }
        for (position, buffer) in buffers.enumerated() {
            let isLast = position == buffers.count - 1
            setDescriptor(
                places[position], address: buffer.address, count: buffer.count, flags: flags(buffer, isLast: isLast),
                next: isLast ? 0 : UInt16(places[position + 1]))
        }
        addHead(UInt16(places[0]))
        return UInt16(places[0])
    }

    private func take() -> Int {
        defer { nextDescriptor = (nextDescriptor + 1) % size }
        return nextDescriptor
    }

    private func flags(_ buffer: Buffer, isLast: Bool) -> UInt16 {
        (isLast ? 0 : DescriptorFlag.next) | (buffer.isWritable ? DescriptorFlag.write : 0)
    }

    public func takeUsed() -> Used? {
        guard driver.load(UInt16.self, at: deviceArea + 2) != used else { return nil }
        atomicMemoryFence(ordering: .acquiring)
        let element = deviceArea + 4 + 8 * UInt64(Int(used) % size)
        used &+= 1
        return Used(
            id: UInt16(truncatingIfNeeded: driver.load(UInt32.self, at: element)),
            count: driver.load(UInt32.self, at: element + 4))
    }

    public func wantsNotification() -> Bool {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let before = notified
        notified = available
        guard driver.features.contains(.eventIndex) else {
            return available != before && driver.load(UInt16.self, at: deviceArea) & 1 == 0
        }
        let event = driver.load(UInt16.self, at: deviceArea + 4 + 8 * UInt64(size))
        return available &- event &- 1 < available &- before
    }

    public func wantInterrupt(after more: Int) {
        driver.store(wire(UInt16(0)), at: driverArea)
        driver.store(wire(used &+ UInt16(more)), at: driverArea + 4 + 2 * UInt64(size))
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    public func wantNoInterrupts() {
        driver.store(wire(UInt16(1)), at: driverArea)
        driver.store(wire(used &- 1), at: driverArea + 4 + 2 * UInt64(size))
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }
}

/// VIRTIO 1.2, section 2.8.
public final class PackedDriverQueue: DriverQueue {
    public let index: Int
    public let size: Int
    public var descriptors: UInt64
    public var driverArea: UInt64
    public var deviceArea: UInt64
    private let driver: VirtioDriver
    private var place = 0
    private var wrap = true
    private var nextID: UInt16 = 0
    private var usedPlace = 0
    private var usedWrap = true
    private var counts: [UInt16: Int] = [:]
    /// How many places were filled since the device was last notified.
    private var unnotified = 0

    public init(_ driver: VirtioDriver, index: Int, size: Int) {
        self.driver = driver
        self.index = index
        self.size = size
        descriptors = driver.allocate(16 * size)
        driverArea = driver.allocate(4, alignment: 4)
        deviceArea = driver.allocate(4, alignment: 4)
        for area in [(descriptors, 16 * size), (driverArea, 4), (deviceArea, 4)] {
            driver.store([UInt8](repeating: 0, count: area.1), at: area.0)
        }
    }

    /// A descriptor at the next place of the ring, available once its flags are stored.
    ///
    /// - Returns: its address, and its flags with those that make it available.
    public func nextDescriptor(
        address: UInt64, count: UInt32, id: UInt16, flags: UInt16
    ) -> (address: UInt64, flags: UInt16) {
        let target = descriptors + 16 * UInt64(place)
        driver.store(wire(address, count, id), at: target)
        let all = flags | (wrap ? DescriptorFlag.available : DescriptorFlag.used)
        unnotified += 1
        place += 1
        if place == size {
            place = 0
            wrap.toggle()
        }
        return (target, all)
    }

    /// Makes a list of descriptors available, the first one at last.
    public func addDescriptors(_ list: [(address: UInt64, count: UInt32, id: UInt16, flags: UInt16)]) {
        let stored = list.map { nextDescriptor(address: $0.address, count: $0.count, id: $0.id, flags: $0.flags) }
        for descriptor in stored.reversed() {
            atomicMemoryFence(ordering: .releasing)
            driver.store(wire(descriptor.flags), at: descriptor.address + 14)
        }
    }

    @discardableResult
    public func add(_ buffers: [Buffer], isIndirect: Bool) -> UInt16 {
        let id = nextID
        nextID = (nextID + 1) % UInt16(size)
        if isIndirect {
            let table = driver.allocate(
                buffers.flatMap { buffer in
                    let flags: UInt16 = buffer.isWritable ? DescriptorFlag.write : 0
                    return wire(buffer.address, buffer.count, UInt16(0), flags)
                })
            counts[id] = 1
            addDescriptors([(table, UInt32(16 * buffers.count), id, DescriptorFlag.indirect)])
            return id
        }
        counts[id] = buffers.count
        addDescriptors(
            buffers.enumerated().map { position, buffer in
                let next = position == buffers.count - 1 ? 0 : DescriptorFlag.next
                return (buffer.address, buffer.count, id, next | (buffer.isWritable ? DescriptorFlag.write : 0))
            })
        return id
    }

    public func takeUsed() -> Used? {
        let element = descriptors + 16 * UInt64(usedPlace)
        let flags = driver.load(UInt16.self, at: element + 14) & (DescriptorFlag.available | DescriptorFlag.used)
        guard flags == (usedWrap ? DescriptorFlag.available | DescriptorFlag.used : 0) else { return nil }
        atomicMemoryFence(ordering: .acquiring)
        let used = Used(
            id: driver.load(UInt16.self, at: element + 12), count: driver.load(UInt32.self, at: element + 8))
        advance(counts[used.id] ?? 1)
        return used
    }

    private func advance(_ count: Int) {
        usedPlace += count
        if usedPlace >= size {
            usedPlace -= size
            usedWrap.toggle()
        }
    }

    public func wantsNotification() -> Bool {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let filled = unnotified
        unnotified = 0
        let event = driver.load(UInt32.self, at: deviceArea)
        switch event >> 16 & 3 {
        case 0: return filled > 0
        case 1: return false
        default:
            let distance = place - Int(event & 0x7fff) + ((event & 0x8000 != 0) == wrap ? 0 : size)
            return filled > 0 && (1...filled).contains(distance)
        }
    }

    public func wantInterrupt(after more: Int) {
        guard driver.features.contains(.eventIndex) else { return setEvent(0) }
        var (place, wrap) = (usedPlace + more, usedWrap)
        if place >= size {
            place -= size
            wrap.toggle()
        }
        setEvent(2 << 16 | UInt32(place) | (wrap ? 0x8000 : 0))
    }

    public func wantNoInterrupts() { setEvent(1 << 16) }

    private func setEvent(_ event: UInt32) {
        driver.store(wire(event), at: driverArea)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }
}
