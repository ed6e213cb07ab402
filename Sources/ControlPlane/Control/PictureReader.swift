import Device
import Linux

/// Reads what a device's heads show, no more often than its quota allows: between two pictures of a head, consumers
/// get the first one again.
public final class PictureReader {
    fileprivate struct Kept {
        let copy: PictureCopy
        let time: UInt64
    }

    /// How many pictures were read from the device.
    public fileprivate(set) var frames: UInt64 = 0

    fileprivate let clock: () -> UInt64
    /// The last picture of each head, while there is a limit.
    fileprivate var last: [Int: Kept] = [:]

    /// - Parameter clock: the time in nanoseconds, from any moment on.
    public init(clock: @escaping () -> UInt64 = { SystemClock.nanoseconds }) {
        self.clock = clock
    }
}

/// A picture, and a file that begins with its pixels. Anyone may read them, at leisure, and nobody can write them.
struct PictureCopy {
    let picture: Picture
    let pixels: MemoryFile
}

/// The reading of one picture in pieces, between which the device's client is served: all of the largest picture would
/// hold a guest for a quarter of a second.
///
/// The guest may draw meanwhile, or show other memory, as it may while a monitor scans a picture out: what is above is
/// from before then, and what is below from after it.
final class PictureReading {
    /// How many bytes one piece has, at least one line.
    static let pieceSize = 1 << 20
    /// So often it begins anew because the mode changes meanwhile.
    static let mostBeginnings = 8

    private let head: Int
    private let function: Function
    private let reader: PictureReader
    private var copy: Copy?
    private var beginnings = 0

    private struct Copy {
        let time: UInt64
        /// Of the head.
        let width: Int
        let height: Int
        let format: PixelFormat
        /// Whether it is one that a cursor can be drawn on: ``PixelFormat/xrgb8888`` then.
        let isDrawn: Bool
        let pixels: MemoryFile
        var linesDone = 0

        var copyFormat: PixelFormat { isDrawn ? .xrgb8888 : format }
        var stride: Int { width * copyFormat.bytesPerPixel }

        init(of scanout: Scanout, isDrawn: Bool, time: UInt64) throws(Errno) {
            self.time = time
            (width, height, format) = (scanout.width, scanout.height, scanout.format)
            self.isDrawn = isDrawn
            let line = scanout.width * (isDrawn ? 4 : scanout.format.bytesPerPixel)
            pixels = try MemoryFile(name: "screenshot", size: line * scanout.height, isOwnAlone: true)
        }

        func isCopy(of scanout: Scanout) -> Bool {
            (width, height, format) == (scanout.width, scanout.height, scanout.format)
        }
    }

    init(_ head: Int, of function: Function, by reader: PictureReader) {
        self.head = head
        self.function = function
        self.reader = reader
    }

    /// Reads one piece more.
    ///
    /// - Returns: the picture, once it is all there.
    /// - Throws: ``ControlError`` when there is no such head, nothing on it, or always something else; `Errno` when
    ///   there is no memory for a copy.
    func next() throws -> PictureCopy? {
        let (scanout, cursor) = try shown()
        if copy?.isCopy(of: scanout) != true {
            if let kept = kept() { return kept }
            try begin(scanout, hasCursor: cursor != nil)
        }
        guard var copy else { return nil }
        let lines = max(1, Self.pieceSize / copy.stride)
        let end = min(copy.height, copy.linesDone + lines)
        if copy.isDrawn {
            scanout.copy(copy.linesDone..<end, with: cursor, to: copy.pixels)
        } else {
            scanout.copy(copy.linesDone..<end, to: copy.pixels)
        }
        copy.linesDone = end
        self.copy = copy
        return end < copy.height ? nil : finish(copy, palette: copy.isDrawn ? [] : scanout.palette)
    }

    private func shown() throws(ControlError) -> (Scanout, Cursor?) {
        let heads = function.display?.heads ?? []
        guard head < heads.count else {
            let count = heads.isEmpty ? "none" : heads.count == 1 ? "one" : "\(heads.count)"
            throw ControlError(.noSuchHead, "The device has no head \(head): it has \(count).")
        }
        guard let scanout = heads[head].scanout else {
            reader.last[head] = nil
            throw ControlError(.nothingShown, "Head \(head) shows nothing: it is off, or in no valid mode.")
        }
        return (scanout, heads[head].cursor)
    }

    private var rate: UInt64 { UInt64(max(0, function.limits?.quota.frameRate ?? 0)) }

    /// The last picture, if the next one is not due.
    private func kept() -> PictureCopy? {
        let rate = rate
        guard rate > 0, let kept = reader.last[head], reader.clock() &- kept.time < 1_000_000_000 / rate else {
            return nil
        }
        return kept.copy
    }

    private func begin(_ scanout: Scanout, hasCursor: Bool) throws {
        guard beginnings < Self.mostBeginnings else {
            throw ControlError(.failed, "Head \(head) changes its mode too fast to be read.")
        }
        beginnings += 1
        copy = try Copy(of: scanout, isDrawn: hasCursor, time: reader.clock())
    }

    private func finish(_ copy: Copy, palette: [UInt32]) -> PictureCopy {
        let picture = Picture(
            width: copy.width, height: copy.height, stride: copy.stride, format: copy.copyFormat, palette: palette)
        let result = PictureCopy(picture: picture, pixels: copy.pixels)
        reader.frames &+= 1
        reader.last[head] = rate > 0 ? PictureReader.Kept(copy: result, time: copy.time) : nil
        return result
    }
}
