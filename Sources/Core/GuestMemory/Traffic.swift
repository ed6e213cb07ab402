/// How much a device has copied from and to guest memory that is mapped in this process. Remote memory counts for itself.
public final class Traffic {
    // One thread, and nothing calls out while it counts.
    @exclusivity(unchecked) public internal(set) var bytesRead: UInt64 = 0
    @exclusivity(unchecked) public internal(set) var bytesWritten: UInt64 = 0
}
