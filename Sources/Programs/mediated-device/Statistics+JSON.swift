import JSON
import PCI
import VFIOUserServer

extension Statistics {
    /// The counters by name; accesses by region.
    var members: JSON.Object {
        func byRegion(_ counts: RegionIndex.Counts) -> JSON {
            .object(
                JSON.Object(counts.indices.filter { counts[$0] > 0 }.map { (RegionIndex.names[$0], JSON(counts[$0])) }))
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
                JSON.Object(InterruptKind.allCases.map { ($0.name, JSON(interruptsByKind[Int($0.rawValue)])) })),
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
