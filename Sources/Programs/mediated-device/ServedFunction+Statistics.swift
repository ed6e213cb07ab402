import Device
import JSON

extension ServedFunction {
    /// The counters of all who count, and what there is now, by name.
    var statistics: JSON {
        let memory = function.host.memory
        var members = server.counters
        members["mappedDMABytesRead"] = JSON(memory.traffic.bytesRead)
        members["mappedDMABytesWritten"] = JSON(memory.traffic.bytesWritten)
        members["dmaMaps"] = JSON(memory.mapCount)
        members["dmaMappedBytes"] = JSON(memory.mappedBytes)
        members["frames"] = JSON(pictures.frames)
        if let limits = function.limits {
            let quota = limits.quota
            members["frameRate"] = quota.frameRate.map { JSON($0) }
            members["videoMemoryQuota"] = quota.videoMemory.map { JSON($0) }
            members["videoMemoryUsed"] = limits.videoMemoryUsed.map { JSON($0) }
        }
        members["uptimeSeconds"] = .number(uptimeSeconds)
        return .object(members)
    }
}
