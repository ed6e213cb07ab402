import Device
import Linux

/// What pictures may take can grow and shrink while the guest uses it.
extension VirtioGPU: LimitedDevice {
    static let videoMemoryRange = 1 << 20...VideoMemory.size

    public var quota: Quota { Quota(videoMemory: processor.memory.limit, frameRate: processor.frameRate) }

    public var videoMemoryUsed: Int? {
        (try? processor.memory.bytes.memoryTaken()).map { $0 + processor.memory.elsewhere }
    }

    public func apply(_ changes: Quota) throws(QuotaError) {
        let limit = changes.videoMemory ?? processor.memory.limit
        let frameRate = changes.frameRate ?? processor.frameRate
        let range = Self.videoMemoryRange
        guard range.contains(limit) else {
            throw QuotaError(
                "Video memory can't be \(limit) bytes: it must be from \(range.lowerBound) to \(range.upperBound).")
        }
        guard limit >= processor.memory.used else {
            throw QuotaError(
                "Video memory can't be \(limit) bytes now: the guest's pictures use \(processor.memory.used).")
        }
        try Quota.check(frameRate: frameRate)
        if limit != processor.memory.limit { processor.rendering?.change(videoMemory: limit) }
        processor.memory.limit = limit
        processor.frameRate = frameRate
    }
}
