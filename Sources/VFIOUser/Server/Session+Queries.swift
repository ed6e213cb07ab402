import Device
import Linux
import VFIO

extension Session {
    /// VFIO_USER_DEVICE_GET_INFO
    func deviceInfo(_ payload: RawSpan) throws -> Int {
        try DeviceInfo.checkRequest(payload)
        var reply = payloadBytes()
        return DeviceInfo(
            flags: [.reset, .pci], regionCount: UInt32(Function.regionCount), irqCount: UInt32(IRQIndex.allCases.count)
        ).write(into: &reply)
    }

    /// VFIO_USER_DEVICE_GET_REGION_INFO
    func regionInfo(_ payload: RawSpan) throws -> Int {
        let request = try RegionInfo.Request(payload)
        guard let region = function.region(Int(request.index)) else { throw Errno.invalidArgument }
        var info = RegionInfo(index: request.index, length: region.size)
        if region.size > 0 { info.flags.insert(.read) }
        if region.isWritable { info.flags.insert(.write) }
        if region.memory != nil, !region.mapped.isEmpty {
            info.flags.insert(.mmap)
            // All of it needs no list.
            if region.mapped != [0..<region.size] {
                info.sparseAreas = region.mapped.map { RegionInfo.Area(offset: $0.lowerBound, size: UInt64($0.count)) }
            }
        }
        var reply = payloadBytes()
        let (count, complete) = info.write(into: &reply, argumentSize: request.argumentSize)
        if complete, info.flags.contains(.mmap), let memory = region.memory {
            replyDescriptors = [memory.descriptor.raw]
        }
        return count
    }

    /// VFIO_USER_DEVICE_GET_REGION_IO_FDS
    func regionIOFDs(_ payload: RawSpan) throws -> Int {
        let request = try RegionIOFDs.Request(payload)
        guard let region = function.region(Int(request.index)) else { throw Errno.invalidArgument }
        // A doorbell that the client can't take a descriptor for still rings by message.
        let offered = region.doorbells.prefix(client?.maxMessageFDs ?? 1).prefix(ReceivedDescriptors.capacity)
        let info = RegionIOFDs(
            index: request.index,
            entries: offered.enumerated().map { index, doorbell in
                RegionIOFDs.Entry(
                    offset: doorbell.offset, size: UInt64(doorbell.width.rawValue), descriptorIndex: UInt32(index),
                    kind: .ioeventfd, flags: doorbell.match == nil ? 0 : RegionIOFDs.Entry.datamatchFlag,
                    datamatch: doorbell.match ?? 0)
            })
        var reply = payloadBytes()
        let (count, complete) = info.write(into: &reply, argumentSize: request.argumentSize)
        if complete {
            for doorbell in offered {
                replyDescriptors.append(try doorbells.descriptor(of: doorbell, bar: Int(request.index)))
            }
        }
        return count
    }

    /// VFIO_USER_DEVICE_GET_IRQ_INFO
    func irqInfo(_ payload: RawSpan) throws -> Int {
        let info = try interrupts.info(IRQInfo(payload).index)
        var reply = payloadBytes()
        return info.write(into: &reply)
    }

    /// VFIO_USER_DEVICE_SET_IRQS
    func setIRQs(_ payload: RawSpan, _ received: consuming ReceivedDescriptors) throws -> Int {
        var descriptors = received
        let request = try IRQSet(payload)
        try interrupts.apply(request, bools: payload.extracting(droppingFirst: IRQSet.size), descriptors: &descriptors)
        return 0
    }

    /// VFIO_USER_DEVICE_RESET
    func reset(_ payload: RawSpan) throws -> Int {
        guard payload.byteCount == 0 else { throw Errno.invalidArgument }
        function.reset()
        migration.reset()
        return 0
    }
}
