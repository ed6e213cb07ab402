import Text

extension MetricFamily {
    /// The content type of ``text(of:)``, for HTTP.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// The families as a page for Prometheus. Those without a value are left out. Text exposition format, version 0.0.4
    ///
    /// - Parameter families: each name once. What isn't printable in help and labels is replaced: the page may be shown
    ///   on a terminal.
    public static func text(of families: [MetricFamily]) -> String {
        var text = ""
        for family in families { family.write(to: &text) }
        return text
    }

    private func write(to text: inout String) {
        switch values {
        case .counter(let metrics): write("counter", metrics, to: &text, Self.write)
        case .gauge(let metrics): write("gauge", metrics, to: &text, Self.write)
        case .histogram(let metrics): write("histogram", metrics, to: &text, Self.write)
        }
    }

    private func write<Value>(
        _ type: String, _ metrics: [Metric<Value>], to text: inout String,
        _ write: (Metric<Value>, String, inout String) -> Void
    ) {
        guard !metrics.isEmpty else { return }
        text += "# HELP \(name) \(Self.escaped(help, quoted: false))\n# TYPE \(name) \(type)\n"
        for metric in metrics { write(metric, name, &text) }
    }

    private static func write(_ metric: Metric<Double>, _ name: String, to text: inout String) {
        line(name, metric.labels, number(metric.value), to: &text)
    }

    private static func write(_ metric: Metric<Histogram>, _ name: String, to text: inout String) {
        let histogram = metric.value
        for bucket in histogram.buckets {
            let labels = metric.labels + [MetricLabel("le", number(bucket.bound))]
            line(name + "_bucket", labels, "\(bucket.count)", to: &text)
        }
        line(name + "_bucket", metric.labels + [MetricLabel("le", "+Inf")], "\(histogram.count)", to: &text)
        line(name + "_sum", metric.labels, number(histogram.sum), to: &text)
        line(name + "_count", metric.labels, "\(histogram.count)", to: &text)
    }

    private static func line(_ name: String, _ labels: [MetricLabel], _ value: String, to text: inout String) {
        text += name
        if !labels.isEmpty {
            let pairs = labels.map { "\($0.name)=\"\(escaped($0.value, quoted: true))\"" }
            text += "{\(pairs.joined(separator: ","))}"
        }
        text += " \(value)\n"
    }

    /// As Go's ParseFloat reads it; whole numbers without a fraction as long as a double holds them all.
    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        guard value.magnitude < 0x1p53, let whole = Int(exactly: value) else { return "\(value)" }
        return "\(whole)"
    }

    private static func escaped(_ value: String, quoted: Bool) -> String {
        var text = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\"" where quoted: text += "\\\""
            default: text.unicodeScalars.append(scalar.isPrintable ? scalar : "\u{FFFD}")
            }
        }
        return text
    }
}
