import GuestMemory
import Linux
import VFIO

extension Session {
    /// VFIO_USER_DMA_MAP
    func map(_ payload: RawSpan, _ received: consuming ReceivedDescriptors) throws -> Reply {
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
                return Reply(payload: 0)
            } catch {
                // The pages of a file that is no memory come from a file system, which may be the client's own (FUSE)
                // and keep this thread waiting for ever: the client moves those bytes instead.
                guard error == .notMemory else { throw error }
            }
        } else if request.offset != 0 {
            throw Errno.invalidArgument
        }
        try memory.map(address: request.address, size: request.length, access: access, backing: .remote(dma))
        return Reply(payload: 0)
    }

    /// VFIO_USER_DMA_UNMAP: answered when nothing refers to the memory any more, and whoever did has written all that
    /// it will.
    func unmap(_ payload: RawSpan) throws -> Outcome {
        let request = try DMAUnmap(payload)
        let memory = function.host.memory
        var bitmapSize: UInt64 = 0
        if let bitmap = request.bitmap {
            bitmapSize = try DirtyLog.bitmapSize(size: request.length, pageSize: bitmap.pageSize)
            guard bitmap.size >= bitmapSize, bitmapSize <= UInt64(Self.maximumTransfer),
                UInt64(request.argumentSize) >= UInt64(DMAUnmap.size + DMAUnmap.bitmapSize) + bitmapSize
            else { throw Errno.invalidArgument }
            guard memory.hasMap(address: request.address, size: request.length) else {
                throw Errno.noSuchFileOrDirectory
            }
            guard memory.dirtyLog.isStarted else { throw DirtyLogError.notStarted }
        }
        let release = { [weak self] in
            guard let self else { return }
            self.release { self.answer(request, bitmapSize: bitmapSize) }
        }
        let outcome =
            request.all
            ? memory.unmapAll(onRelease: release)
            : try memory.unmap(address: request.address, size: request.length, onRelease: release)
        return outcome == .done ? .reply(answer(request, bitmapSize: bitmapSize)) : .held
    }

    /// The answer to an unmap, with the pages that are dirty by now.
    ///
    /// - Parameter bitmapSize: in bytes, as the request was found to have room for.
    private func answer(_ request: DMAUnmap, bitmapSize: UInt64) -> Reply {
        var reply = replies.payloadBytes()
        var answer = request
        guard let bitmap = request.bitmap else {
            answer.argumentSize = UInt32(DMAUnmap.size)
            _ = answer.write(into: &reply)
            return Reply(payload: DMAUnmap.size)
        }
        let start = DMAUnmap.size + DMAUnmap.bitmapSize
        let end = start + Int(bitmapSize)
        answer.bitmap?.size = bitmapSize
        answer.argumentSize = UInt32(end)
        _ = answer.write(into: &reply)
        reply.clear(start..<end)
        var bits = reply._mutatingExtracting(start..<end)
        // What it could refuse was refused before the unmap.
        try? function.host.memory.dirtyLog.report(
            address: request.address, size: request.length, pageSize: bitmap.pageSize, into: &bits)
        return Reply(payload: end)
    }
}
