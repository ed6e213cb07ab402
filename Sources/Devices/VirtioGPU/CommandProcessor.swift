import CLinux
import Device
import Display
import GuestMemory
import Linux

/// Carries out commands: a request's bytes in, a response's bytes out. Of the world it knows the guest's memory and the heads, and
/// nothing of queues.
///
/// What it doesn't know it refuses with ``Refusal/unspecified``, as the commands of 3D.
final class CommandProcessor {
    /// The features that the driver has accepted, of ``VirtioGPU/Feature``.
    var features: VirtioGPU.Feature = []
    let heads: [Head]

    let guest: MappedMemory
    var memory: VideoMemory
    var resources: [UInt32: Resource] = [:]

    /// - Parameter limit: how many bytes pictures may take, each in whole pages; at most ``VideoMemory/size``.
    init(guest: MappedMemory, heads: Int, resolution: Resolution, limit: Int) throws(Errno) {
        self.guest = guest
        let memory = try VideoMemory(reserved: heads * Head.cursorSize, limit: limit)
        self.memory = memory
        self.heads = (0..<heads).map { Head($0, resolution: resolution, memory: memory.file) }
    }

    /// The memory with all pixels, cursors included.
    var file: MemoryFile { memory.file }

    // MARK: Requests

    /// Carries a request out.
    ///
    /// - Parameter room: how many bytes of a response the driver takes.
    /// - Returns: nil when the driver takes none. On the cursor queue such a command is carried out all the same.
    func answer(_ request: RawSpan, from queue: Queue, room: Int) -> Response? {
        let isAnswered = room >= Response.headerSize
        guard isAnswered || queue == .cursor else { return nil }
        let header: virtio_gpu_ctrl_hdr
        do throws(Refusal) {
            header = try request.load(virtio_gpu_ctrl_hdr.self)
        } catch {
            return isAnswered ? Response(.failure(error), to: nil) : nil
        }
        let result = Result { () throws(Refusal) in
            let command = try Command(header.type, in: request, from: queue)
            let payload = command.payloadSize
            guard payload == 0 || room >= Response.headerSize + payload else { throw .unspecified }
            return try perform(command)
        }
        return isAnswered ? Response(result, to: header) : nil
    }

    private func perform(_ command: Command) throws(Refusal) -> Response.Outcome {
        switch command {
        case .getDisplayInfo: return .displayInfo(heads)
        case .getEDID(let head): return try edid(of: head)
        case .createImage(let id, let format, let width, let height):
            try createImage(id, format, width: width, height: height)
        case .createBlob(let id, let memory, let size, let backing):
            try createBlob(id, memory: memory, size: size, backing)
        case .unref(let id): try unref(id)
        case .assignUUID(let id): return try assignUUID(id)
        case .attachBacking(let id, let backing): try attach(backing, to: id)
        case .detachBacking(let id): try detachBacking(of: id)
        case .transfer(let id, let area, let offset): try transfer(area, at: offset, to: id)
        case .flush(let id, let area): try flush(area, of: id)
        case .setScanout(let head, let resource, let area): try setScanout(head, to: area, of: resource)
        case .setBlobScanout(let head, let resource, let area, let layout):
            try setScanout(head, to: area, ofBlob: resource, layout)
        // There are no capability sets: each index is beyond the last.
        case .getCapsetInfo, .getCapset: throw .invalidParameter
        case .updateCursor(let head, let resource, let x, let y, let hotX, let hotY):
            try updateCursor(
                of: head, from: resource, Head.Pointer(x: x, y: y, hotX: hotX, hotY: hotY, isShown: resource != 0))
        case .moveCursor(let head, let x, let y): try moveCursor(of: head, x, y)
        }
        return .done
    }

    func head(_ number: UInt32) throws(Refusal) -> Head {
        guard number < heads.count else { throw .invalidScanout }
        return heads[Int(number)]
    }

    func resource(_ id: UInt32) throws(Refusal) -> Resource {
        guard let resource = resources[id] else { throw .invalidResource }
        return resource
    }

    func require(_ feature: VirtioGPU.Feature) throws(Refusal) {
        guard features.contains(feature) else { throw .unspecified }
    }

    private func edid(of number: UInt32) throws(Refusal) -> Response.Outcome {
        try require(.edid)
        let resolution = try head(number).resolution
        return .edid(EDID(width: resolution.width, height: resolution.height, refresh: 60).bytes)
    }
}
