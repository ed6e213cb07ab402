import Device
import Linux

/// Video memory can grow and shrink while the guest uses it, inside BAR 0, whose size nothing can change.
extension BochsDisplay: LimitedDevice {
    static let videoMemoryRange = 1 << 20...256 << 20
    /// The unit in which the interface tells the size of its memory, in bytes.
    private static let bank = 1 << 16

    /// The size of BAR 0: the least that holds `vram`, unless `aperture` says it.
    ///
    /// - Throws: `OptionError` when one of both can't be.
    static func aperture(_ options: DeviceOptions) throws(OptionError) -> Int {
        let (chosen, limit) = (options.integer("aperture"), options.integer("vram"))
        guard limit % bank == 0 else {
            throw OptionError("Option 'vram' is \(limit) bytes but must be a multiple of 64K, such as 16M.")
        }
        if chosen == 0 { return 1 << (Int.bitWidth - (limit - 1).leadingZeroBitCount) }
        guard chosen & (chosen - 1) == 0 else {
            throw OptionError("Option 'aperture' is \(chosen) bytes but must be a power of two, such as 16M.")
        }
        guard limit <= chosen else {
            throw OptionError("Option 'aperture' is \(chosen) bytes but must hold 'vram', which is \(limit).")
        }
        return chosen
    }

    public var quota: Quota { Quota(videoMemory: videoMemoryLimit, frameRate: frameRate) }

    public var videoMemoryUsed: Int? { (try? videoMemory.memoryTaken()) ?? 0 }

    public func apply(_ changes: Quota) throws(QuotaError) {
        let limit = changes.videoMemory ?? videoMemoryLimit
        let frameRate = changes.frameRate ?? frameRate
        try checkVideoMemory(limit)
        try Quota.check(frameRate: frameRate)
        self.frameRate = frameRate
        guard limit != videoMemoryLimit else { return }
        videoMemoryLimit = limit
        followLimit()
    }

    private func checkVideoMemory(_ limit: Int) throws(QuotaError) {
        guard limit % Self.bank == 0 else {
            throw QuotaError("Video memory can't be \(limit) bytes: it must be a multiple of \(Self.bank).")
        }
        guard limit <= videoMemory.size else {
            throw QuotaError(
                "Video memory can't be \(limit) bytes: the device's aperture, which is fixed, has \(videoMemory.size).")
        }
        guard limit >= Self.videoMemoryRange.lowerBound else {
            throw QuotaError(
                "Video memory can't be \(limit) bytes: it must be at least \(Self.videoMemoryRange.lowerBound).")
        }
        let mode = state.dispi
        guard mode.enable.contains(.enabled), limit < mode.end else { return }
        throw QuotaError(
            "Video memory can't be \(limit) bytes now: the guest's mode, \(mode.width)x\(mode.height) with "
                + "\(mode.bitsPerPixel) bits per pixel, uses \(mode.end).")
    }

    /// Frees the pages that are beyond the limit. A client that has mapped them may write to them again, see
    /// ``Overdraft``.
    func giveBackTheRest() {
        // It can't fail but for want of the kernel's own memory; the limit holds all the same.
        try? videoMemory.clear(from: videoMemoryLimit)
    }
}
