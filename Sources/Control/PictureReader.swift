import Device
import Linux

/// Reads what a device's heads show, no more often than its quota allows: between two pictures of a head, consumers
/// get the first one again.
public final class PictureReader {
    private struct Reading {
        let picture: Picture
        let pixels: MemoryFile
        let time: UInt64
    }

    /// How many pictures were read from the device.
    public private(set) var frames: UInt64 = 0

    private let clock: () -> UInt64
    /// The last picture of each head, while there is a limit.
    private var last: [Int: Reading] = [:]

    /// - Parameter clock: the time in nanoseconds, from any moment on.
    public init(clock: @escaping () -> UInt64 = { SystemClock.nanoseconds }) {
        self.clock = clock
    }

    /// - Throws: ``ControlError`` when there is no such head, or nothing on it; `Errno` when there is no memory for a copy.
    func read(_ head: Int, of device: any Device) throws -> (picture: Picture, pixels: MemoryFile) {
        let heads = device.framebuffers
        guard head < heads.count else {
            let count = heads.isEmpty ? "none" : heads.count == 1 ? "one" : "\(heads.count)"
            throw ControlError(.noSuchHead, "The device has no head \(head): it has \(count).")
        }
        guard var scanout = heads[head].scanout else {
            last[head] = nil
            throw ControlError(.nothingShown, "Head \(head) shows nothing: it is off, or in no valid mode.")
        }
        let rate = UInt64(max(0, device.quota.frameRate ?? 0))
        let now = clock()
        if rate > 0, let reading = last[head], now &- reading.time < 1_000_000_000 / rate {
            return (reading.picture, reading.pixels)
        }
        if let cursor = heads[head].cursor { scanout = try scanout.drawing(cursor) }
        let (picture, pixels) = try scanout.snapshot()
        frames &+= 1
        last[head] = rate > 0 ? Reading(picture: picture, pixels: pixels, time: now) : nil
        return (picture, pixels)
    }
}
