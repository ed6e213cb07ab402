import Device
import JSON
import PCI
import VFIOUserServer

extension DeviceProcess {
    /// The counters of all who count, and what there is now, by name.
    var statistics: JSON {
        let memory = function.host.memory
        var members = server.statistics.members
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

extension Statistics {
    /// The counters by name; accesses by region.
    fileprivate var members: JSON.Object {
        let regions = ["bar0", "bar1", "bar2", "bar3", "bar4", "bar5", "rom", "config", "vga"]
        func byRegion(_ counts: InlineArray<9, UInt64>) -> JSON {
            .object(JSON.Object(counts.indices.filter { counts[$0] > 0 }.map { (regions[$0], JSON(counts[$0])) }))
        }
        return [
            "messages": JSON(messages),
            "ringAccesses": JSON(ringAccesses),
            "reads": byRegion(reads),
            "writes": byRegion(writes),
            "ringReadsAndWrites": byRegion(ringReadsAndWrites),
            "latency": latency.json,
            "errors": JSON(errors),
            "interrupts": JSON(interrupts),
            "interruptsByKind": .object(
                JSON.Object(InterruptKind.allCases.map { ("\($0)", JSON(interruptsByKind[Int($0.rawValue)])) })),
            "doorbells": JSON(doorbells),
            "messageDMABytes": JSON(messageDMABytesRead &+ messageDMABytesWritten),
            "messageDMABytesRead": JSON(messageDMABytesRead),
            "messageDMABytesWritten": JSON(messageDMABytesWritten),
            "sessions": JSON(sessions),
            "refusedClients": JSON(refusedClients),
            "deniedClients": JSON(deniedClients),
        ]
    }
}

extension LatencyHistogram {
    /// Buckets by their upper bound in nanoseconds.
    fileprivate var json: JSON {
        let counts = buckets.indices.map { bucket in
            (Self.upperBound(of: bucket).map { "\($0)" } ?? "more", JSON(buckets[bucket]))
        }
        return [
            "oneIn": JSON(Self.interval), "samples": JSON(samples), "nanoseconds": JSON(nanoseconds),
            "buckets": .object(JSON.Object(counts)),
        ]
    }
}
