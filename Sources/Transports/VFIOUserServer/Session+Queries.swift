import Device
import Linux
import PCI
import VFIO

extension Session {
    /// VFIO_USER_DEVICE_GET_INFO
    func deviceInfo(_ payload: RawSpan) throws -> Reply {
        try DeviceInfo.checkRequest(payload)
        var reply = replies.payloadBytes()
        let info = DeviceInfo(
            flags: [.reset, .pci], regionCount: UInt32(RegionIndex.count),
            irqCount: UInt32(InterruptKind.allCases.count))
        return Reply(payload: info.write(into: &reply))
    }

    /// VFIO_USER_DEVICE_GET_REGION_INFO
    func regionInfo(_ payload: RawSpan) throws -> Reply {
        let request = try RegionInfo.Request(payload)
        guard let region = function.region(Int(request.index)) else { throw Errno.invalidArgument }
        var info = RegionInfo(index: request.index, length: region.size)
        if region.size > 0 { info.flags.insert(.read) }
        if region.isWritable { info.flags.insert(.write) }
        let file = region.memory?.file
        if file != nil, !region.mapped.isEmpty {
            info.flags.insert(.mmap)
            // All of it needs no list.
            if region.mapped != [0..<region.size] {
                info.sparseAreas = region.mapped.map { RegionInfo.Area(offset: $0.lowerBound, size: UInt64($0.count)) }
            }
        }
        var reply = replies.payloadBytes()
        let (count, complete) = info.write(into: &reply, argumentSize: request.argumentSize)
        guard complete, info.flags.contains(.mmap), let file else { return Reply(payload: count) }
        return Reply(payload: count, attachment: .descriptors([file.descriptor.raw]))
    }

    /// VFIO_USER_DEVICE_GET_REGION_IO_FDS
    func regionIOFDs(_ payload: RawSpan) throws -> Reply {
        let request = try RegionIOFDs.Request(payload)
        guard let region = function.region(Int(request.index)) else { throw Errno.invalidArgument }
        let (info, descriptors) = try ioDescriptors(of: region, Int(request.index))
        var reply = replies.payloadBytes()
        let (count, complete) = info.write(into: &reply, argumentSize: request.argumentSize)
        return Reply(payload: count, attachment: complete ? .descriptors(descriptors) : .none)
    }

    /// What of a region can reach the device by descriptors, as many as the client takes. All else still comes by
    /// message.
    private func ioDescriptors(of region: Function.Region, _ index: Int) throws(Errno) -> (RegionIOFDs, [Int32]) {
        typealias Entry = RegionIOFDs.Entry
        let limit = min(client?.maxMessageFDs ?? 1, ReceivedDescriptors.capacity)
        var info = RegionIOFDs(index: UInt32(index), entries: [])
        var descriptors: [Int32] = []
        var shadowIndex: UInt32?
        for doorbell in region.doorbells {
            let shadow = doorbell.keepsValue ? region.shadow?.file : nil
            // Without a page for it, its value comes by message alone.
            if doorbell.keepsValue, shadow == nil { continue }
            let needed = shadow == nil || shadowIndex != nil ? 1 : 2
            guard descriptors.count + needed <= limit else { break }
            var entry = Entry(
                offset: doorbell.offset, size: UInt64(doorbell.width.rawValue),
                descriptorIndex: UInt32(descriptors.count), kind: shadow == nil ? .ioeventfd : .shadowIOEventFD,
                flags: (doorbell.match == nil ? 0 : Entry.datamatchFlag) | (region.isPorts ? Entry.portsFlag : 0),
                datamatch: doorbell.match ?? 0)
            descriptors.append(try doorbells.eventFD(of: doorbell, bar: index).descriptor.raw)
            if let shadow {
                let position = shadowIndex ?? UInt32(descriptors.count)
                if shadowIndex == nil { descriptors.append(shadow.descriptor.raw) }
                shadowIndex = position
                entry.shadow = .init(descriptorIndex: position, offset: doorbell.offset)
            }
            info.entries.append(entry)
        }
        guard !region.ioregions.isEmpty, descriptors.count < limit else { return (info, descriptors) }
        for range in region.ioregions {
            info.entries.append(
                Entry(
                    offset: range.lowerBound, size: UInt64(range.count), descriptorIndex: UInt32(descriptors.count),
                    kind: .ioregionfd, flags: region.isPorts ? Entry.portsFlag : 0, datamatch: range.lowerBound))
        }
        descriptors.append(try ioregions.descriptor(ofBAR: index))
        return (info, descriptors)
    }

    /// VFIO_USER_DEVICE_GET_IRQ_INFO
    func irqInfo(_ payload: RawSpan) throws -> Reply {
        let info = try interrupts.info(IRQInfo(payload).index)
        var reply = replies.payloadBytes()
        return Reply(payload: info.write(into: &reply))
    }

    /// VFIO_USER_DEVICE_SET_IRQS
    func setIRQs(_ payload: RawSpan, _ received: consuming ReceivedDescriptors) throws -> Reply {
        var descriptors = received
        let request = try IRQSet(payload)
        try interrupts.apply(request, bools: payload.extracting(droppingFirst: IRQSet.size), descriptors: &descriptors)
        return Reply(payload: 0)
    }

    /// VFIO_USER_DEVICE_RESET
    func reset(_ payload: RawSpan) throws -> Reply {
        guard payload.byteCount == 0 else { throw Errno.invalidArgument }
        function.reset()
        migration.reset()
        doorbells.goOn()
        return Reply(payload: 0)
    }
}
