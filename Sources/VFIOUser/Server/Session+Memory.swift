import GuestMemory
import Linux
import VFIO

extension Session {
    /// VFIO_USER_DMA_MAP
    func map(_ payload: RawSpan, _ received: consuming ReceivedDescriptors) throws -> Int {
        var descriptors = received
        let request = try DMAMap(payload)
        guard descriptors.count <= 1 else { throw Errno.invalidArgument }
        var access: DMAAccess = []
        if request.flags.contains(.read) { access.insert(.read) }
        if request.flags.contains(.write) { access.insert(.write) }
        let memory = function.host.memory
        if let descriptor = descriptors.take(0) {
            do throws(MapError) {
                try memory.map(
                    address: request.address, size: request.length, access: access,
                    backing: .file(descriptor, offset: request.offset))
                return 0
            } catch {
                // The pages of what is no memory come from a file system, which may be the client's own (FUSE) and keep
                // this thread waiting for ever: the client moves those bytes instead.
                guard error == .notMemory else { throw error }
            }
        } else if request.offset != 0 {
            throw Errno.invalidArgument
        }
        try memory.map(address: request.address, size: request.length, access: access, backing: .remote(dma))
        return 0
    }

    /// VFIO_USER_DMA_UNMAP: answered when nothing refers to the memory any more.
    func unmap(_ payload: RawSpan) throws -> Outcome {
        var request = try DMAUnmap(payload)
        let memory = function.host.memory
        var size = DMAUnmap.size
        var reply = payloadBytes()
        if let bitmap = request.bitmap {
            let needed = try DirtyLog.bitmapSize(size: request.length, pageSize: bitmap.pageSize)
            size = DMAUnmap.size + DMAUnmap.bitmapSize
            guard bitmap.size >= needed, needed <= UInt64(Self.maximumTransfer),
                UInt64(request.argumentSize) >= UInt64(size) + needed
            else { throw Errno.invalidArgument }
            guard memory.hasMap(address: request.address, size: request.length) else {
                throw Errno.noSuchFileOrDirectory
            }
            reply.clear(size..<size + Int(needed))
            var bits = reply._mutatingExtracting(size..<size + Int(needed))
            try memory.dirtyLog.report(
                address: request.address, size: request.length, pageSize: bitmap.pageSize, into: &bits)
            request.bitmap?.size = needed
            request.argumentSize = UInt32(size + Int(needed))
            size += Int(needed)
        } else {
            request.argumentSize = UInt32(size)
        }
        _ = request.write(into: &reply)
        let release = { [weak self] in
            guard let self else { return }
            self.release(payload: size)
        }
        let outcome =
            request.all
            ? memory.unmapAll(onRelease: release)
            : try memory.unmap(address: request.address, size: request.length, onRelease: release)
        return outcome == .done ? .reply(payload: size) : .held
    }
}
