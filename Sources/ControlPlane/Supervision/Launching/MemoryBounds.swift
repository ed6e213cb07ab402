import Linux
import Mediation

/// How much memory a vGPU's processes may take, in bytes. `Documentation/Resources.md`
struct MemoryBounds: Equatable {
    /// Private to the device process. `RLIMIT_DATA`
    let data: UInt64
    /// All that is charged to its control group: that, its video memory, a saved state with a copy of it, pictures,
    /// pages of programs and of guests that it is the first to touch, and a renderer. `memory.max`
    let shared: UInt64

    init(_ limits: Limits) {
        data = ResourceLimit.defaultMemory
        let videoMemory = UInt64(max(0, limits.videoMemory))
        let (twice, overflow) = videoMemory.multipliedReportingOverflow(by: 2)
        let (sum, overflows) = twice.addingReportingOverflow(data + Self.allowance)
        // What no process can address needs no bound.
        shared = overflow || overflows ? UInt64(Int64.max) : sum
    }

    static let allowance: UInt64 = 256 << 20
}
