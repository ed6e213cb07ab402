import CLinux
import Device
import GuestMemory
import Linux

/// Something that the driver draws in and heads show: a picture in the device's memory, a blob in the guest's or in the
/// window, or what the renderer has.
struct Resource: Codable, Equatable, Sendable {
    /// The most there are at a time.
    static let maximumCount = 4096

    enum Content: Codable, Equatable, Sendable {
        /// Pixels of 32 bits, line after line; the range is that of the video memory.
        case image(PixelFormat, width: Int, height: Int, pixels: Range<Int>)
        /// So many bytes of the backing, which may be shorter for the time being.
        case blob(size: UInt64)
        case host(HostResource)
        case hostBlob(HostBlob)
    }

    var content: Content
    var backing: Backing?
    /// What other virtio devices know it by, once the driver has asked.
    var uuid: [UInt8]?

    /// The longest edge of a picture, in pixels.
    static let maximumEdge = 16384
    static let bytesPerPixel = 4

    /// What is known of a resource of the renderer's.
    var host: HostResource? {
        guard case .host(let host) = content else { return nil }
        return host
    }

    /// What is known of a blob in the window.
    var hostBlob: HostBlob? {
        guard case .hostBlob(let blob) = content else { return nil }
        return blob
    }

    /// In bytes; nil for what is no blob.
    var blobSize: UInt64? {
        switch content {
        case .blob(let size): size
        case .hostBlob(let blob): UInt64(blob.size)
        case .image, .host: nil
        }
    }

    /// TRANSFER_TO_HOST_2D of what the renderer doesn't have: brings an area of a picture up to date from its backing.
    ///
    /// - Parameter memory: where pictures are.
    func transfer(
        _ area: Rectangle, at offset: UInt64, from guest: MappedMemory, to memory: MappedBytes
    ) throws(Refusal) {
        // A blob is its backing. Linux asks for the transfer nevertheless.
        guard case .image(_, let width, let height, let pixels) = content else { return }
        guard area.fits(width: width, height: height) else { throw .invalidParameter }
        guard let backing else { throw .unspecified }
        let stride = width * Self.bytesPerPixel
        let lines = Backing.Lines(
            offset: offset, stride: UInt64(stride), width: area.width, height: area.height,
            place: pixels.lowerBound + area.y * stride + area.x * Self.bytesPerPixel, placeStride: stride)
        try backing.copy(lines, from: guest, to: memory)
    }
}

extension PixelFormat {
    /// The format of a number of `enum virtio_gpu_formats`, which name the bytes in memory order.
    init?(virtio number: UInt32) {
        switch virtio_gpu_formats(number) {
        case VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM: self = .argb8888
        case VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM: self = .xrgb8888
        case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM: self = .bgra8888
        case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM: self = .bgrx8888
        case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM: self = .abgr8888
        case VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM: self = .rgbx8888
        case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM: self = .rgba8888
        case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM: self = .xbgr8888
        default: return nil
        }
    }

    /// Whether one of those numbers stands for it.
    var isVirtio: Bool {
        switch self {
        case .argb8888, .xrgb8888, .bgra8888, .bgrx8888, .abgr8888, .rgbx8888, .rgba8888, .xbgr8888: true
        case .rgb888, .bgr888, .rgb565, .rgb565BigEndian, .xrgb1555, .xrgb1555BigEndian, .indexed8: false
        }
    }

    /// Where a cursor has blue, green, red and opacity in the four bytes of a pixel: in every format, since a cursor is
    /// always one with opacity, though Linux creates its resource without.
    var cursorChannels: [Int] {
        switch self {
        case .bgra8888, .bgrx8888: [3, 2, 1, 0]
        case .abgr8888, .xbgr8888: [2, 1, 0, 3]
        case .rgba8888, .rgbx8888: [1, 2, 3, 0]
        default: [0, 1, 2, 3]
        }
    }
}
