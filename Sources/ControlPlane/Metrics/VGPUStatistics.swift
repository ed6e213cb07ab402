import JSON
import PCI

/// The counters of a device process, as far as its `statistics` can be understood.
///
/// The process may be older or newer than whoever asks, or not of good will. So everything may be missing, what is no
/// count is passed over, and there are only so many names.
public struct VGPUStatistics: Equatable, Sendable {
    /// Accesses by region, those that came by an access ring among them.
    public let reads, writes: CountsByName?
    /// Accesses that came by an access ring, by region.
    public let ringReadsAndWrites: CountsByName?
    /// Accesses from a domain, which aren't counted by region.
    public let domainAccesses: UInt64?
    /// How long accesses took, in seconds: of one in 64.
    public let latency: Histogram?
    public let messages, errors: UInt64?
    public let interruptsByKind: CountsByName?
    public let doorbells: UInt64?
    /// Bytes of guest memory that the device read and wrote by mapping, and by message.
    public let mappedDMABytesRead, mappedDMABytesWritten, messageDMABytesRead, messageDMABytesWritten: UInt64?
    /// What is mapped now.
    public let dmaMaps, dmaMappedBytes: UInt64?
    /// Pictures read from the device.
    public let frames: UInt64?
    /// In bytes.
    public let videoMemoryUsed, videoMemoryLimit: UInt64?
    public let sessions, refusedClients, deniedClients: UInt64?
    public let uptimeSeconds: Double?

    /// - Parameter json: the answer to the request `statistics`.
    public init(_ json: JSON) {
        func count(_ name: String) -> UInt64? { json[name]?.uint64 }
        reads = CountsByName(json["reads"], names: Self.regions)
        writes = CountsByName(json["writes"], names: Self.regions)
        ringReadsAndWrites = CountsByName(json["ringReadsAndWrites"], names: Self.regions)
        domainAccesses = count("accesses")
        latency = json["latency"].flatMap(Histogram.init(latency:))
        messages = count("messages")
        errors = count("errors")
        interruptsByKind = CountsByName(json["interruptsByKind"], names: Self.interruptKinds)
        doorbells = count("doorbells")
        mappedDMABytesRead = count("mappedDMABytesRead")
        mappedDMABytesWritten = count("mappedDMABytesWritten")
        messageDMABytesRead = count("messageDMABytesRead")
        messageDMABytesWritten = count("messageDMABytesWritten")
        dmaMaps = count("dmaMaps")
        dmaMappedBytes = count("dmaMappedBytes")
        frames = count("frames")
        videoMemoryUsed = count("videoMemoryUsed")
        videoMemoryLimit = count("videoMemoryQuota")
        sessions = count("sessions")
        refusedClients = count("refusedClients")
        deniedClients = count("deniedClients")
        uptimeSeconds = json["uptimeSeconds"]?.double.flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
    }

    /// All but the last: no function has VGA.
    private static let regions = Array(RegionIndex.names[...RegionIndex.configuration])
    private static let interruptKinds = InterruptKind.allCases.map(\.name)
}

/// Counts by names that are known, each of which is there, and one for all other names together.
public struct CountsByName: Equatable, Sendable {
    public struct Entry: Equatable, Sendable {
        public let name: String
        public let count: UInt64
    }

    /// In a fixed order; last `other`, when that is not 0.
    public let entries: [Entry]

    /// Nil when `json` is no object.
    init?(_ json: JSON?, names: [String]) {
        guard let members = json?.object else { return nil }
        let known = names.map { Entry(name: $0, count: members[$0]?.uint64 ?? 0) }
        let other = saturatingSum(members.lazy.filter { !names.contains($0.name) }.compactMap(\.value.uint64))
        entries = other == 0 ? known : known + [Entry(name: "other", count: other)]
    }

    public var total: UInt64 { saturatingSum(entries.lazy.map(\.count)) }
}

extension Histogram {
    /// From nanoseconds to seconds.
    ///
    /// A process counts what took less than a bucket's bound, and Prometheus what took no more: one nanosecond, which
    /// isn't worth other bounds.
    ///
    /// - Parameter latency: `buckets`, counts by bound in nanoseconds, or any other name for the rest; `nanoseconds`,
    ///   the sum.
    fileprivate init?(latency: JSON) {
        guard let buckets = latency["buckets"]?.object, let sum = latency["nanoseconds"]?.uint64 else { return nil }
        guard buckets.count <= Self.bucketLimit else { return nil }
        var counts: [Double: UInt64] = [:]
        var rest: [UInt64] = []
        for (name, value) in buckets {
            guard let count = value.uint64 else { return nil }
            if let bound = UInt64(name) {
                counts[Double(bound) / 1e9, default: 0] = saturatingSum([counts[Double(bound) / 1e9] ?? 0, count])
            } else {
                rest.append(count)
            }
        }
        self.init(counts, rest: saturatingSum(rest), sum: Double(sum) / 1e9)
    }

    /// More than any process has.
    private static let bucketLimit = 64
}

/// The sum, or the greatest number when it is greater.
private func saturatingSum(_ counts: some Sequence<UInt64>) -> UInt64 {
    counts.reduce(0) { sum, count in
        let (new, overflow) = sum.addingReportingOverflow(count)
        return overflow ? .max : new
    }
}
