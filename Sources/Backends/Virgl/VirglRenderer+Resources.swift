import CVirglrenderer
import Glibc
import Linux
import Renderer

/// Resources, the memory behind them, and what goes to and fro.
extension VirglRenderer {
    func createResource(_ parameters: RendererCommand.ResourceParameters) -> RendererReply.Status {
        var arguments = virgl_renderer_resource_create_args(
            handle: parameters.id, target: parameters.target, format: parameters.format, bind: parameters.bind,
            width: parameters.width, height: parameters.height, depth: parameters.depth,
            array_size: parameters.arraySize, last_level: parameters.lastLevel, nr_samples: parameters.samples,
            flags: parameters.flags)
        return status(virgl_renderer_resource_create(&arguments, nil, 0))
    }

    func destroyResource(id: UInt32) {
        detachBacking(of: id)
        virgl_renderer_resource_unref(id)
    }

    /// Makes a resource of memory, which Venus's contexts can use.
    ///
    /// - Parameters:
    ///   - memory: what stands for it, which the library takes over.
    ///   - size: in bytes.
    func importBlob(
        _ resource: UInt32, _ kind: RendererCommand.BlobKind, _ memory: consuming Descriptor, size: UInt64
    ) -> RendererReply.Status {
        let raw = memory.relinquish()
        let type = kind == .sharedMemory ? VIRGL_RENDERER_BLOB_FD_TYPE_SHM : VIRGL_RENDERER_BLOB_FD_TYPE_DMABUF
        var arguments = virgl_renderer_resource_import_blob_args(
            res_handle: resource, blob_mem: UInt32(VIRGL_RENDERER_BLOB_MEM_GUEST_VRAM), fd_type: UInt32(type), fd: raw,
            size: size)
        let result = status(virgl_renderer_resource_import_blob(&arguments))
        if result != .done { close(raw) }
        return result
    }

    /// - Parameters:
    ///   - pieces: inside windows that stay mapped until ``detachBacking(of:)``.
    ///   - windows: the windows that they lie in.
    func attachBacking(
        to resource: UInt32, _ pieces: [(base: UnsafeMutableRawPointer, size: Int)], windows: Set<UInt32>
    ) -> RendererReply.Status {
        guard backings[resource] == nil else { return .noSuchObject }
        let buffer = UnsafeMutableBufferPointer<iovec>.allocate(capacity: pieces.count)
        for (index, piece) in pieces.enumerated() {
            buffer.initializeElement(at: index, to: iovec(iov_base: piece.base, iov_len: piece.size))
        }
        guard
            virgl_renderer_resource_attach_iov(Int32(bitPattern: resource), buffer.baseAddress, Int32(pieces.count))
                == 0
        else {
            buffer.deallocate()
            return .noSuchObject
        }
        backings[resource] = Backing(pieces: buffer, windows: windows)
        return .done
    }

    func detachBacking(of resource: UInt32) {
        guard let backing = backings.removeValue(forKey: resource) else { return }
        var pieces: UnsafeMutablePointer<iovec>?
        var count: Int32 = 0
        virgl_renderer_resource_detach_iov(Int32(bitPattern: resource), &pieces, &count)
        // SAFETY: the library has forgotten it.
        backing.pieces.deallocate()
    }

    /// Makes the library forget memory that is about to go.
    func detachBackings(in window: UInt32) {
        for (resource, backing) in backings where backing.windows.contains(window) { detachBacking(of: resource) }
    }

    func attach(_ resource: UInt32, to context: UInt32) {
        virgl_renderer_ctx_attach_resource(Int32(bitPattern: context), Int32(bitPattern: resource))
    }

    func detach(_ resource: UInt32, from context: UInt32) {
        virgl_renderer_ctx_detach_resource(Int32(bitPattern: context), Int32(bitPattern: resource))
    }

    func transferToHost(_ transfer: RendererCommand.Transfer) -> RendererReply.Status {
        var box = virgl_box(transfer.box)
        return status(
            virgl_renderer_transfer_write_iov(
                transfer.resource, transfer.context, Int32(bitPattern: transfer.level), transfer.stride,
                transfer.layerStride, &box, transfer.offset, nil, 0))
    }

    func transferFromHost(_ transfer: RendererCommand.Transfer) -> RendererReply.Status {
        var box = virgl_box(transfer.box)
        return status(
            virgl_renderer_transfer_read_iov(
                transfer.resource, transfer.context, transfer.level, transfer.stride, transfer.layerStride, &box,
                transfer.offset, nil, 0))
    }

    /// Copies pixels of a resource's first level to memory, `stride` bytes from line to line.
    func readPixels(
        of resource: UInt32, _ box: RendererCommand.Box, stride: UInt32, to base: UnsafeMutableRawPointer, size: Int
    ) -> RendererReply.Status {
        var box = virgl_box(box)
        var piece = iovec(iov_base: base, iov_len: size)
        return status(virgl_renderer_transfer_read_iov(resource, 0, 0, stride, 0, &box, 0, &piece, 1))
    }
}

extension virgl_box {
    fileprivate init(_ box: RendererCommand.Box) {
        self.init(x: box.x, y: box.y, z: box.z, w: box.width, h: box.height, d: box.depth)
    }
}
