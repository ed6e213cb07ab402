import Linux
import Mediation
import Renderer

/// How much a vGPU's processes may take, of memory in bytes. `Documentation/Resources.md`
struct MemoryBounds: Equatable {
    /// Private to the device process. `RLIMIT_DATA`
    let data: UInt64
    /// All that is charged to its control group: that, its video memory, a saved state with a copy of it, pictures,
    /// pages of programs and of guests that it is the first to touch, and a renderer. `memory.max`
    let shared: UInt64
    /// How many threads they may have together. A device process has five, and a renderer one for each processor and
    /// for each compiler beside it. `pids.max`
    let threads: Int

    init(_ limits: Limits) {
        data = ResourceLimit.defaultMemory
        let videoMemory = UInt64(max(0, limits.videoMemory))
        let (twice, overflow) = videoMemory.multipliedReportingOverflow(by: 2)
        let (sum, overflows) = twice.addingReportingOverflow(data + Self.allowance)
        let window = UInt64(max(0, limits.window))
        let (vulkan, vulkanOverflows) =
            window == 0
            ? (0, false) : (window &* 2).addingReportingOverflow(UInt64(RendererKinds.mostVenusContexts) * Self.context)
        let (all, allOverflow) = sum.addingReportingOverflow(vulkan)
        // What no process can address needs no bound.
        let isTooMuch = overflow || overflows || vulkanOverflows || allOverflow
        shared = isTooMuch ? UInt64(Int64.max) : min(all, UInt64(Int64.max))
        threads = 256 + (window == 0 ? 0 : RendererKinds.mostVenusContexts * Self.contextThreads)
    }

    static let allowance: UInt64 = 256 << 20
    /// For a context of Vulkan, which is a process: with lavapipe it has 37 MB when idle.
    static let context: UInt64 = 64 << 20
    /// Those of such a process: up to 32 that draw, and some for rings and queues.
    static let contextThreads = 40
}
