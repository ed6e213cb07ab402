import Linux
import PCI
import VFIO

/// What a device has, and what a client tells it.
extension Client {
    /// VFIO_USER_DEVICE_GET_INFO
    public func deviceInfo() throws(ClientError) -> DeviceInfo {
        let count = prepare { DeviceInfo(flags: [], regionCount: 0, irqCount: 0).write(into: &$0) }
        let reply = try call(.deviceGetInfo, payload: count)
        let info = try parse(.deviceGetInfo, reply) { payload throws(MalformedMessage) in try DeviceInfo(payload) }
        finish(reply)
        return info
    }

    /// A region as a server describes it: with the file behind it, when it can be mapped.
    public struct Region: Sendable {
        public let info: RegionInfo
        /// The file to map, at `RegionInfo.offset`.
        public let file: SharedDescriptor?

        /// Maps a part of the region, for reading only where the region can't be written.
        ///
        /// - Parameters:
        ///   - offset: in bytes from the region's beginning, a multiple of the page size.
        ///   - size: in bytes.
        /// - Returns: memory that the server can take away: `GuardedCopy` throws then.
        /// - Throws: ``ClientError/unavailable(_:)`` when this part can't be mapped, or the file is no memory.
        public func map(at offset: UInt64 = 0, size: Int? = nil) throws(ClientError) -> Mapping {
            let size = size ?? Int(truncatingIfNeeded: info.length)
            let areas = info.sparseAreas.isEmpty ? [.init(offset: 0, size: info.length)] : info.sparseAreas
            guard let file, size > 0,
                areas.contains(where: {
                    offset >= $0.offset && offset - $0.offset <= $0.size
                        && UInt64(size) <= $0.size - (offset - $0.offset)
                })
            else { throw .unavailable("\(size) bytes at \(offset) of region \(info.index) can't be mapped.") }
            // The pages of anything else may take as long to come as the server likes (FUSE).
            guard file.descriptor.isMemory() else {
                throw .unavailable("The file behind region \(info.index) is no memory.")
            }
            GuardedCopy.install()
            do throws(Errno) {
                return try Mapping(
                    of: file.descriptor, at: info.offset &+ offset, size: size,
                    access: info.flags.contains(.write) ? [.read, .write] : .read)
            } catch {
                throw .system(error)
            }
        }
    }

    /// A descriptor that several owners share.
    public final class SharedDescriptor: Sendable {
        public let descriptor: Descriptor

        init(_ descriptor: consuming Descriptor) {
            self.descriptor = descriptor
        }
    }

    /// VFIO_USER_DEVICE_GET_REGION_INFO, asked again when the answer is longer than expected.
    public func region(_ index: Int) throws(ClientError) -> Region {
        var argumentSize = UInt32(RegionInfo.size)
        while true {
            let request = RegionInfo.Request(index: UInt32(truncatingIfNeeded: index), argumentSize: argumentSize)
            let count = prepare { request.write(into: &$0) }
            let message = try call(.deviceGetRegionInfo, payload: count)
            let answer = try parse(.deviceGetRegionInfo, message) { payload throws(MalformedMessage) in
                try RegionInfo.Reply(payload)
            }
            var descriptors = takeDescriptors(of: message)
            finish(message)
            if answer.argumentSize > argumentSize, argumentSize == UInt32(RegionInfo.size) {
                argumentSize = answer.argumentSize
                continue
            }
            guard let descriptor = descriptors.take(0) else { return Region(info: answer.info, file: nil) }
            return Region(info: answer.info, file: SharedDescriptor(descriptor))
        }
    }

    /// VFIO_USER_DEVICE_GET_IRQ_INFO
    public func irqInfo(_ kind: InterruptKind) throws(ClientError) -> IRQInfo {
        let count = prepare { IRQInfo(index: kind.rawValue).write(into: &$0) }
        let reply = try call(.deviceGetIRQInfo, payload: count)
        let info = try parse(.deviceGetIRQInfo, reply) { payload throws(MalformedMessage) in try IRQInfo(payload) }
        finish(reply)
        return info
    }

    /// An address of a region that a descriptor stands for.
    public struct Doorbell: Sendable {
        public let entry: RegionIOFDs.Entry
        public let eventFD: EventFD
    }

    /// The doorbells of a region. VFIO_USER_DEVICE_GET_REGION_IO_FDS
    public func doorbells(ofRegion index: Int) throws(ClientError) -> [Doorbell] {
        var argumentSize = UInt32(RegionIOFDs.size)
        while true {
            let request = RegionIOFDs.Request(index: UInt32(truncatingIfNeeded: index), argumentSize: argumentSize)
            let count = prepare { request.write(into: &$0) }
            let message = try call(.deviceGetRegionIOFDs, payload: count)
            let answer = try parse(.deviceGetRegionIOFDs, message) { payload throws(MalformedMessage) in
                try RegionIOFDs.Reply(payload)
            }
            var descriptors = takeDescriptors(of: message)
            finish(message)
            if answer.argumentSize > argumentSize, argumentSize == UInt32(RegionIOFDs.size) {
                argumentSize = answer.argumentSize
                continue
            }
            return try doorbells(answer.info, &descriptors)
        }
    }

    private func doorbells(
        _ info: RegionIOFDs, _ descriptors: inout ReceivedDescriptors
    ) throws(ClientError) -> [Doorbell] {
        // Several entries may share a descriptor.
        var eventFDs: [UInt32: EventFD] = [:]
        var doorbells: [Doorbell] = []
        for entry in info.entries where entry.kind == .ioeventfd {
            if eventFDs[entry.descriptorIndex] == nil {
                // The descriptor may be missing, and may be no eventfd.
                guard let descriptor = descriptors.take(Int(entry.descriptorIndex)),
                    let eventFD = try? EventFD(adopting: descriptor)
                else {
                    throw .malformed(.deviceGetRegionIOFDs, .field("fd_index", value: UInt64(entry.descriptorIndex)))
                }
                eventFDs[entry.descriptorIndex] = eventFD
            }
            if let eventFD = eventFDs[entry.descriptorIndex] {
                doorbells.append(Doorbell(entry: entry, eventFD: eventFD))
            }
        }
        return doorbells
    }

    /// Lets the device read and write memory and send MSI and MSI-X, as a driver does before it uses either; or not any
    /// more. Off after a reset. PCI Local Bus Specification 3.0, section 6.2.2: Bus Master, bit 2 of the command
    /// register
    public func setBusMaster(_ on: Bool) throws(ClientError) {
        let command = try read(UInt16.self, region: RegionIndex.configuration, offset: 4)
        try write(on ? command | 1 << 2 : command & ~(1 << 2), region: RegionIndex.configuration, offset: 4)
    }

    /// VFIO_USER_DEVICE_RESET
    public func reset() throws(ClientError) {
        finish(try call(.deviceReset))
    }
}
