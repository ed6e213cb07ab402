import Alteration
import Tap

/// How much a device has copied from and to guest memory that is mapped in this process (remote memory counts for
/// itself), and who sees and alters what it copies, wherever it lies.
public final class Traffic {
    // One thread, and nothing calls out while it counts.
    @exclusivity(unchecked) public internal(set) var bytesRead: UInt64 = 0
    @exclusivity(unchecked) public internal(set) var bytesWritten: UInt64 = 0
    @exclusivity(unchecked) public var tap: (any Tap)? {
        didSet { isWatched = tap != nil || alterer != nil }
    }
    @exclusivity(unchecked) public var alterer: (any Alterer)? {
        didSet { isWatched = tap != nil || alterer != nil }
    }
    /// Whether there is any of these: one comparison for both.
    @exclusivity(unchecked) private(set) var isWatched = false
}
