import Device
import Linux

/// The image of a head's cursor: a copy in the video memory, so that a resource may go or change while the cursor
/// stays.
///
/// The renderer may be writing to it. What comes meanwhile from elsewhere waits, and what the renderer has written is
/// converted when it writes no more: the image that was asked for last is the one that stays.
struct CursorImage {
    /// So many lines of so many pixels.
    static let edge = 64
    /// In bytes; whole pages.
    static let size = edge * edge * Resource.bytesPerPixel

    /// Where it is in the video memory.
    let place: Int
    private let memory: MappedBytes
    /// How many times the renderer was asked for one and has not answered.
    private var readCount = 0
    /// That of what the renderer has written last; nil: nothing since the image was complete.
    private var format: PixelFormat?
    /// An image that was asked for behind those.
    private var waiting: [UInt8]?

    init(at place: Int, in memory: MappedBytes) {
        self.place = place
        self.memory = memory
    }

    /// Whether the renderer may be writing to it.
    var isBeingRead: Bool { readCount > 0 }

    // MARK: From the device's own memory

    /// Takes a copy of an image in the video memory.
    ///
    /// - Parameter start: where its first pixel is; the whole image lies inside.
    mutating func copy(from start: Int, _ format: PixelFormat) {
        guard !isBeingRead else {
            waiting = Self.converted(bytes(at: start), from: format)
            return
        }
        memory.replace(at: place, with: memory, at: start, count: Self.size)
        convert(from: format)
    }

    /// Takes an image in ``PixelFormat/argb8888``.
    mutating func set(_ image: [UInt8]) {
        if isBeingRead { waiting = image } else { memory.replace(at: place, with: image.span.bytes) }
    }

    /// Nobody asks for an image any more. What the renderer has not answered, it still does.
    mutating func forget() {
        format = nil
        waiting = nil
    }

    // MARK: From the renderer

    /// The renderer is asked to write an image to ``place``.
    mutating func beginReading() {
        readCount += 1
        waiting = nil
    }

    /// The renderer has answered.
    ///
    /// - Parameters:
    ///   - isDone: whether it has written the image.
    ///   - format: the image's.
    mutating func endReading(_ isDone: Bool, _ format: PixelFormat) {
        readCount -= 1
        if isDone { self.format = format }
        guard !isBeingRead else { return }
        if let waiting {
            memory.replace(at: place, with: waiting.span.bytes)
        } else if let format = self.format {
            convert(from: format)
        }
        forget()
    }

    // MARK: Pixels

    private func convert(from format: PixelFormat) {
        guard format.cursorChannels != PixelFormat.argb8888.cursorChannels else { return }
        memory.replace(at: place, with: Self.converted(bytes(at: place), from: format).span.bytes)
    }

    private func bytes(at start: Int) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: Self.size)
        var span = image.mutableSpan
        var bytes = span.mutableBytes
        memory.copy(at: start, count: Self.size, into: &bytes)
        return image
    }

    private static func converted(_ image: [UInt8], from format: PixelFormat) -> [UInt8] {
        let channels = format.cursorChannels
        return image.indices.map { image[$0 & ~3 + channels[$0 & 3]] }
    }
}
