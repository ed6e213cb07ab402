import CLinux
import Linux
import PCI
import VFIO
import VFIOUserClient

/// A driver of virtio-gpu in user space, by the VFIO API: 3D for programs that have no virtual machine.
///
/// It finds the registers by the PCI capabilities, gives the device memory by DMA_MAP, sends commands by the control
/// queue, and hears of answers by an eventfd that stands for an MSI-X vector. It knows nothing of the device's code.
/// One thread at a time.
public final class VirtioGPUDriver: GraphicsDevice {
    /// Signalled when the device has answered something: ``takeAnswers(_:)`` is due.
    public let interrupt: EventFD
    public private(set) var capabilitySets: [CapabilitySet] = []
    private let client: Client
    private let structures: VirtioStructures
    private let memory: MemoryFile
    private var queue: DriverQueue
    private var doorbell: Doorbell
    /// Where memory that comes next begins, for the device.
    private var nextAddress: UInt64

    /// How the device hears of what is in the queue.
    private enum Doorbell {
        case eventFD(EventFD)
        case register(bar: Int, offset: UInt64)
    }

    /// VIRTIO 1.2, section 4.1.4.3: `struct virtio_pci_common_cfg`
    private enum Field: UInt64 {
        case deviceFeatureSelect = 0x00
        case deviceFeature = 0x04
        case driverFeatureSelect = 0x08
        case driverFeature = 0x0c
        case status = 0x14
        case queueSelect = 0x16
        case queueSize = 0x18
        case queueVector = 0x1a
        case queueEnable = 0x1c
        case queueNotifyOffset = 0x1e
        case queueDescriptors = 0x20
        case queueDriver = 0x28
        case queueDevice = 0x30
    }

    /// Section 2.1
    private struct Status: OptionSet {
        let rawValue: UInt8
        static let acknowledge = Status(rawValue: 1)
        static let driver = Status(rawValue: 2)
        static let driverOK = Status(rawValue: 4)
        static let featuresOK = Status(rawValue: 8)
    }

    /// VIRTIO_GPU_F_VIRGL, VIRTIO_F_VERSION_1 and VIRTIO_F_ACCESS_PLATFORM
    private static let virgl: UInt64 = 1 << 0
    private static let version1: UInt64 = 1 << 32
    private static let accessPlatform: UInt64 = 1 << 33
    /// A virtio-gpu without the legacy interface. Section 4.1.2.1
    private static let identity: UInt32 = 0x1050_1af4
    private static let controlQueue: UInt16 = 0
    private static let vector: UInt16 = 0
    /// `num_capsets` of `struct virtio_gpu_config`
    private static let capabilitySetCount: UInt64 = 12
    private static let maximumCapabilitySets: UInt32 = 16
    private static let firstAddress: UInt64 = 1 << 32
    /// How long a device may take for one of the questions at the beginning.
    private static let patience = Duration.seconds(10)

    /// Resets the device and shakes hands with it.
    ///
    /// - Throws: ``DriverError/device(_:)`` when it is no virtio-gpu, or has no 3D.
    public init(_ client: Client) throws(DriverError) {
        self.client = client
        do throws(Errno) {
            interrupt = try EventFD()
            memory = try MemoryFile(name: "virtio queue", size: DriverQueue.memorySize)
        } catch {
            throw .system(error)
        }
        do throws(ClientError) {
            let identity = try client.read(UInt32.self, region: RegionIndex.configuration, offset: 0)
            guard UInt32(littleEndian: identity) == Self.identity else {
                throw ClientError.unavailable("The device is no virtio-gpu.")
            }
            try client.reset()
        } catch {
            throw .client(error)
        }
        structures = try VirtioStructures(client)
        queue = DriverQueue(in: memory, at: Self.firstAddress)
        nextAddress = Self.firstAddress + UInt64(memory.size)
        doorbell = .register(bar: structures.notify.bar, offset: structures.notify.offset)
        do throws(ClientError) { try begin() } catch { throw .client(error) }
        try findDoorbell()
        try readCapabilitySets()
    }

    // MARK: The beginning

    /// Section 3.1.1
    private func begin() throws(ClientError) {
        try client.map(address: Self.firstAddress, size: UInt64(memory.size), file: memory.descriptor)
        try client.setBusMaster(true)
        try store(UInt8(0), .status)
        try store(Status.acknowledge.rawValue, .status)
        try store(Status([.acknowledge, .driver]).rawValue, .status)
        var offered: UInt64 = 0
        for word in 0..<2 {
            try store(UInt32(word), .deviceFeatureSelect)
            offered |= UInt64(try load(UInt32.self, .deviceFeature)) << UInt64(32 * word)
        }
        guard offered & Self.virgl != 0 else {
            throw .unavailable("The vGPU has no 3D. Give it one with the option 'renderer=virgl'.")
        }
        let wanted = Self.virgl | Self.version1 | offered & Self.accessPlatform
        for word in 0..<2 {
            try store(UInt32(word), .driverFeatureSelect)
            try store(UInt32(truncatingIfNeeded: wanted >> UInt64(32 * word)), .driverFeature)
        }
        let agreed: Status = [.acknowledge, .driver, .featuresOK]
        try store(agreed.rawValue, .status)
        guard Status(rawValue: try load(UInt8.self, .status)).contains(.featuresOK) else {
            throw .unavailable("The device takes no driver that speaks VIRTIO 1.")
        }
        try client.setEventFDs([interrupt], kind: .msix)
        try store(Self.controlQueue, .queueSelect)
        guard try load(UInt16.self, .queueSize) >= DriverQueue.size else {
            throw .unavailable("The device's queue is shorter than \(DriverQueue.size).")
        }
        try store(UInt16(DriverQueue.size), .queueSize)
        try store(Self.vector, .queueVector)
        try store(queue.descriptorArea, .queueDescriptors)
        try store(queue.driverArea, .queueDriver)
        try store(queue.deviceArea, .queueDevice)
        try store(UInt16(1), .queueEnable)
        try store(agreed.union(.driverOK).rawValue, .status)
    }

    /// An eventfd where the device has one for the place, so that nobody waits for an answer.
    private func findDoorbell() throws(DriverError) {
        do throws(ClientError) {
            let place = structures.notify
            let offset =
                place.offset + structures.notifyMultiplier * UInt64(try load(UInt16.self, .queueNotifyOffset))
            doorbell = .register(bar: place.bar, offset: offset)
            let found = try client.doorbells(ofRegion: place.bar).first { $0.entry.offset == offset }
            if let found { doorbell = .eventFD(found.eventFD) }
        } catch {
            if case .refused = error { return }
            throw .client(error)
        }
    }

    private func readCapabilitySets() throws(DriverError) {
        let count: UInt32
        do throws(ClientError) {
            let place = structures.device
            count = UInt32(
                littleEndian: try client.read(
                    UInt32.self, region: place.bar, offset: place.offset + Self.capabilitySetCount))
        } catch {
            throw .client(error)
        }
        for index in 0..<min(count, Self.maximumCapabilitySets) {
            let info = try ask(.capabilitySetInfo(index: index)).payload
            let id = info.littleEndian(UInt32.self, at: 0)
            let version = info.littleEndian(UInt32.self, at: 4)
            let size = Int(info.littleEndian(UInt32.self, at: 8))
            let contents = try ask(.capabilitySet(id: id, version: version)).payload
            guard size == contents.count else {
                throw .device("Capability set \(id) has \(contents.count) bytes, not \(size).")
            }
            capabilitySets.append(CapabilitySet(id: id, version: version, contents: contents))
        }
    }

    /// Sends a command when no other is in flight, and waits for the answer.
    private func ask(_ command: GPUCommand) throws(DriverError) -> GPUResponse {
        try send(command, token: 0)
        try notify()
        let deadline = Deadline(after: Self.patience)
        while true {
            if let answer = try queue.take() {
                guard answer.response.isDone else { throw .device("To \(command) \(answer.response.reason).") }
                return answer.response
            }
            guard !deadline.hasPassed else { throw .device("The device does not answer.") }
            _ = interrupt.wait(within: deadline.left)
        }
    }

    // MARK: Commands

    public func hasRoom(for count: Int, stream: Int) -> Bool { queue.hasRoom(for: count, stream: stream) }

    /// The device looks at it after ``notify()``.
    public func send(_ command: GPUCommand, token: UInt64) throws(DriverError) {
        try queue.add(command, token: token)
    }

    /// Tells the device of what was sent, where it wants to be told.
    public func notify() throws(DriverError) {
        guard queue.wantsNotification() else { return }
        switch doorbell {
        case .eventFD(let eventFD): eventFD.signal()
        case .register(let bar, let offset):
            do throws(ClientError) {
                try client.write(Self.controlQueue, region: bar, offset: offset, isPosted: true)
            } catch {
                throw .client(error)
            }
        }
    }

    /// Gives all answers that there are, each with its command's token.
    public func takeAnswers(_ body: (UInt64, GPUResponse) -> Void) throws(DriverError) {
        interrupt.consume()
        while let answer = try queue.take() { body(answer.token, answer.response) }
    }

    // MARK: Memory

    public func share(_ size: Int) throws(DriverError) -> SharedMemory {
        let file: MemoryFile
        do throws(Errno) { file = try MemoryFile(name: "vtest", size: size) } catch { throw .system(error) }
        let memory = SharedMemory(address: nextAddress, file: file)
        do throws(ClientError) {
            try client.map(address: memory.address, size: memory.size, file: file.descriptor)
        } catch {
            throw .client(error)
        }
        // A gap, so that two are never taken for one.
        nextAddress += memory.size + 4096
        return memory
    }

    public func unshare(_ memory: SharedMemory) throws(DriverError) {
        do throws(ClientError) {
            try client.unmap(address: memory.address, size: memory.size)
        } catch {
            throw .client(error)
        }
    }

    // MARK: Registers

    private func load<Value: FixedWidthInteger & BitwiseCopyable>(
        _: Value.Type, _ field: Field
    ) throws(ClientError) -> Value {
        let place = structures.common
        return Value(
            littleEndian: try client.read(Value.self, region: place.bar, offset: place.offset + field.rawValue))
    }

    private func store<Value: FixedWidthInteger & BitwiseCopyable>(
        _ value: Value, _ field: Field
    ) throws(ClientError) {
        let place = structures.common
        try client.write(value.littleEndian, region: place.bar, offset: place.offset + field.rawValue)
    }
}
