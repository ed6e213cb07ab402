import Device
import Display

/// What is plugged into the heads: who has the device may change it while the guest runs.
extension Heads {
    /// Puts a monitor at a head, or takes it away.
    ///
    /// - Returns: whether that changes anything.
    /// - Throws: when there is no such head, no monitor has that, or the pictures of all together would not fit.
    func connect(_ monitor: Monitor?, to head: Int) throws(MonitorError) -> Bool {
        guard all.indices.contains(head) else {
            throw MonitorError("The device has no head \(head): it has \(all.count == 1 ? "one" : "\(all.count)").")
        }
        var resolution: Resolution?
        if let monitor { resolution = try preferred(by: monitor, at: head) }
        return all[head].plug(resolution)
    }

    private func preferred(by monitor: Monitor, at head: Int) throws(MonitorError) -> Resolution {
        guard let resolution = Resolution(width: monitor.width, height: monitor.height) else {
            throw MonitorError(
                "A monitor can't have \(monitor.width)x\(monitor.height) pixels: it must be from "
                    + "\(Resolution.widths.lowerBound)x\(Resolution.heights.lowerBound) to "
                    + "\(Resolution.widths.upperBound)x\(Resolution.heights.upperBound).")
        }
        let others = all.filter { $0.number != head && $0.isPlugged }
        let bytes = others.reduce(resolution.bytes) { $0 + $1.resolution.bytes }
        guard bytes <= memory.limit else {
            throw MonitorError(
                "The pictures of all monitors would need \(bytes) bytes of video memory, more than the "
                    + "\(memory.limit) that there are.")
        }
        return resolution
    }

    /// What a head's monitor tells about itself.
    func edid(of number: UInt32) throws(Refusal) -> [UInt8] {
        let resolution = try head(number).resolution
        return EDID(width: resolution.width, height: resolution.height, refresh: 60).bytes
    }
}
