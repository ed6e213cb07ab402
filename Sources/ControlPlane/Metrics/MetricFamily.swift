/// One thing that is measured, wherever it is: a name, what it means, and its values.
public struct MetricFamily: Equatable, Sendable {
    /// By Prometheus' rules: the application first, the base unit at the end, `_total` behind that of a counter.
    public let name: String
    /// A sentence.
    public let help: String
    public let values: Values

    public init(_ name: String, help: String, _ values: Values) {
        self.name = name
        self.help = help
        self.values = values
    }

    public enum Values: Equatable, Sendable {
        /// What only grows, but for new beginnings at 0.
        case counter([Metric<Double>])
        /// What is so now.
        case gauge([Metric<Double>])
        case histogram([Metric<Histogram>])
    }
}

/// One value of a family, told from its others by labels.
public struct Metric<Value: Equatable & Sendable>: Equatable, Sendable {
    public let labels: [MetricLabel]
    public let value: Value

    public init(_ labels: [MetricLabel], _ value: Value) {
        self.labels = labels
        self.value = value
    }
}

public struct MetricLabel: Equatable, Sendable {
    /// Letters, digits and `_`; not `le`, which is the histograms' own.
    public let name: String
    /// Any text.
    public let value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// How many measured values there are of each size.
public struct Histogram: Equatable, Sendable {
    public struct Bucket: Equatable, Sendable {
        /// The greatest value it takes.
        public let bound: Double
        /// How many values are no greater than that: those of the smaller buckets too.
        public let count: UInt64
    }

    /// In the order of their bounds, each of which is there once.
    public let buckets: [Bucket]
    /// How many values there are in all.
    public let count: UInt64
    /// What they are together.
    public let sum: Double

    /// - Parameters:
    ///   - counts: by bound, the values of each bucket alone.
    ///   - rest: how many values are greater than all bounds.
    /// - Returns: nil when there are more than 2^64 - 1.
    public init?(_ counts: [Double: UInt64], rest: UInt64, sum: Double) {
        var total: UInt64 = 0
        func add(_ count: UInt64) -> Bool {
            let (new, overflow) = total.addingReportingOverflow(count)
            total = new
            return !overflow
        }
        var buckets: [Bucket] = []
        for (bound, count) in counts.sorted(by: { $0.key < $1.key }) {
            guard add(count) else { return nil }
            buckets.append(Bucket(bound: bound, count: total))
        }
        guard add(rest) else { return nil }
        self.buckets = buckets
        self.count = total
        self.sum = sum
    }
}
