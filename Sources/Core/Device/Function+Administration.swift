import Tap

/// What an administrator does to a device while it is in use, in sight of the tap.
extension Function {
    /// Limits the device in another way from now on. What is nil in `changes` stays as it is.
    ///
    /// - Returns: what limits the device now.
    /// - Throws: ``QuotaError`` when the device has no such limits, or can't have these; nothing has changed then.
    @discardableResult
    public func apply(_ changes: Quota) throws(QuotaError) -> Quota {
        guard let limits else {
            throw QuotaError(
                "A '\(type.name)' \(changes.videoMemory == nil ? "shows no pictures" : "has no video memory").")
        }
        host.tap?.note(.quota(videoMemory: changes.videoMemory, frameRate: changes.frameRate))
        try limits.apply(changes)
        return limits.quota
    }

    /// Puts a monitor at a head, or another in the place of the one there, or takes it away (nil), and tells the guest.
    ///
    /// - Throws: ``MonitorError`` when the device has no such head, or it can't have that monitor; nothing has changed
    ///   then.
    public func connect(_ monitor: Monitor?, to head: Int) throws(MonitorError) {
        guard let monitors else { throw MonitorError("Monitors of a '\(type.name)' neither come nor go.") }
        host.tap?.note(.monitor(head: head, width: monitor?.width ?? 0, height: monitor?.height ?? 0))
        try monitors.connect(monitor, to: head)
    }
}
