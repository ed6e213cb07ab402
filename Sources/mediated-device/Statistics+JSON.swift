import JSON
import VFIOUser

extension Statistics {
    /// The counters by name; accesses by region.
    var json: JSON {
        let regions = ["bar0", "bar1", "bar2", "bar3", "bar4", "bar5", "rom", "config", "vga"]
        func byRegion(_ counts: InlineArray<9, UInt64>) -> JSON {
            .object(JSON.Object(counts.indices.filter { counts[$0] > 0 }.map { (regions[$0], JSON(counts[$0])) }))
        }
        return [
            "messages": JSON(messages),
            "ringAccesses": JSON(ringAccesses),
            "reads": byRegion(reads),
            "writes": byRegion(writes),
            "errors": JSON(errors),
            "interrupts": JSON(interrupts),
            "doorbells": JSON(doorbells),
            "messageDMABytes": JSON(messageDMABytes),
            "sessions": JSON(sessions),
            "refusedClients": JSON(refusedClients),
            "deniedClients": JSON(deniedClients),
        ]
    }
}
