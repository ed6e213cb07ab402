import Control
import DaemonAPI
import DaemonClient
import Metrics

/// What `mediated top` says of one vGPU: what is so now, and what was done since an earlier observation, per second.
struct TopRow: Equatable {
    var vgpu: String
    /// Nil as long as it isn't known.
    var type: String?
    var state: State
    var accesses: Double?
    var ringAccesses: Double?
    /// In bytes.
    var dma: Double?
    var interrupts: Double?
    var frames: Double?
    /// In bytes.
    var videoMemory: UInt64?
    /// In percent of one processor.
    var processor: Double?
    /// In bytes.
    var resident: UInt64?

    enum State: String {
        /// It hasn't been asked yet.
        case new = "..."
        case free
        /// A client has it.
        case used
        /// There is no process.
        case gone
        /// The process doesn't answer.
        case hangs
        /// Its control socket is another user's.
        case denied
        /// It answers nonsense, or can't be asked.
        case fails
    }
}

/// The last observation of a vGPU, and the last one before it that was answered.
struct ObservedVGPU: Sendable {
    let watched: Watched
    private(set) var before: Observation?
    private(set) var now: Observation?

    init(_ watched: Watched) {
        self.watched = watched
    }

    mutating func add(_ observation: Observation) {
        if now?.answer != nil { before = now }
        now = observation
    }
}

extension TopRow {
    init(_ vgpu: ObservedVGPU) {
        let (before, now) = (vgpu.before?.answer, vgpu.now?.answer)
        self.vgpu = (now ?? before)?.info.name ?? vgpu.watched.name
        type = (now ?? before)?.info.type
        state = vgpu.now.map(State.init) ?? .new
        guard let now else { return }
        videoMemory = now.statistics.videoMemoryUsed
        resident = now.usage?.residentBytes
        guard let before, let start = vgpu.before?.time, let end = vgpu.now?.time, end > start else { return }
        // Another process has counters of its own.
        guard now.info.process == before.info.process, now.usage?.start == before.usage?.start else { return }
        let seconds = Double(end - start) / 1e9
        func rate(_ count: (VGPUStatistics) -> UInt64?) -> Double? {
            guard let first = count(before.statistics), let last = count(now.statistics), last >= first else {
                return nil
            }
            return Double(last - first) / seconds
        }
        accesses = rate { $0.accesses }
        ringAccesses = rate { $0.ringReadsAndWrites?.total }
        dma = rate { $0.dmaBytes }
        interrupts = rate { $0.interruptsByKind?.total }
        frames = rate { $0.frames }
        if let first = before.usage?.processorSeconds, let last = now.usage?.processorSeconds, last >= first {
            processor = (last - first) / seconds * 100
        }
    }
}

extension TopRow.State {
    fileprivate init(_ observation: Observation) {
        switch observation.result {
        case .success(let answer): self = answer.info.clientConnected ? .used : .free
        case .failure(.process(let error)): self.init(error)
        case .failure(.daemon(let error)): self.init(error)
        }
    }

    private init(_ error: ControlClientError) {
        switch error {
        case .timedOut, .cannotConnect(_, .resourceTemporarilyUnavailable): self = .hangs
        case .closed, .cannotConnect(_, .connectionRefused), .cannotConnect(_, .noSuchFileOrDirectory): self = .gone
        case .cannotConnect(_, .permissionDenied): self = .denied
        default: self = .fails
        }
    }

    private init(_ error: DaemonClientError) {
        switch error {
        case .timedOut: self = .hangs
        case .closed: self = .gone
        case .cannotConnect where error.isNobodyThere: self = .gone
        case .cannotConnect(_, .permissionDenied): self = .denied
        case .refused(let problem):
            switch problem.code {
            // It doesn't run any more.
            case .notFound, .conflict: self = .gone
            case .forbidden: self = .denied
            default: self = .fails
            }
        default: self = .fails
        }
    }
}

extension VGPUStatistics {
    /// Reads and writes of all regions.
    fileprivate var accesses: UInt64? { Self.sum([reads?.total, writes?.total]) ?? domainAccesses }

    /// In both directions and all ways.
    fileprivate var dmaBytes: UInt64? {
        Self.sum([mappedDMABytesRead, mappedDMABytesWritten, messageDMABytesRead, messageDMABytesWritten])
    }

    /// Nil when one of them is missing.
    private static func sum(_ counts: [UInt64?]) -> UInt64? {
        counts.reduce(0) { sum, count in
            guard let sum, let count else { return nil }
            return sum &+ count
        }
    }
}
