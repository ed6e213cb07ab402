import Device
import GuestMemory
import PCI
import Tap

extension Function {
    /// What the function knows of the world beside its state, as records.
    var setting: [Record] {
        var records: [Record] = []
        var interrupts = Record(.interrupts)
        interrupts.value = host.interrupts.transport?.messageRouting.number ?? 0
        records.append(interrupts)
        if let quota = limits?.quota {
            var limits = Record(.limits)
            limits.offset = UInt64(clamping: quota.videoMemory ?? 0)
            limits.value = UInt64(clamping: quota.frameRate ?? 0)
            records.append(limits)
        }
        for name in device.connected {
            var connection = Record(.connection)
            connection.name = name
            records.append(connection)
        }
        for (name, bytes) in device.kept {
            var kept = Record(.kept)
            (kept.name, kept.bytes) = (name, bytes)
            records.append(kept)
        }
        host.memory.forEachMap { first, last, access in
            var map = Record(.map)
            (map.offset, map.count) = (first, last &- first &+ 1)
            map.value = (access.contains(.read) ? 1 : 0) | (access.contains(.write) ? 2 : 0)
            records.append(map)
        }
        return records
    }
}
