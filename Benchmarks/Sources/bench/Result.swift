import Glibc
import JSON

/// One line of the table: a value, what it is compared with, and the most that it may be.
struct Result {
    var name: String
    var unit: String
    var value: Double
    /// The same with nothing of ours in it; nil where the aim is absolute.
    var floor: Double?
    /// Of `value` to `floor`: the median over pairs of runs, not the quotient of the two columns.
    var ratio: Double?
    /// Where the ratios of single processes lie.
    var range: ClosedRange<Double>?
    /// The most that the ratio, or the value without one, is meant to be; nil: for information.
    var aim: Double?

    var isMet: Bool? { aim.map { (ratio ?? value) <= $0 } }

    static let heading = """
        | | value | floor | ratio | of single processes | aim | |
        |---|---:|---:|---:|---:|---:|---|
        """

    /// A row of a Markdown table.
    var row: String {
        let verdict = isMet.map { $0 ? "met" : "missed" } ?? ""
        let floor = floor.map { "\($0.rounded(to: 1)) \(unit)" } ?? ""
        let ratio = ratio.map { "\($0.rounded(to: 3))" } ?? ""
        let range = range.map { "\($0.lowerBound.rounded(to: 3))–\($0.upperBound.rounded(to: 3))" } ?? ""
        let aim = aim.map { "\($0.rounded(to: 3))" } ?? ""
        return "| \(name) | \(value.rounded(to: 1)) \(unit) | \(floor) | \(ratio) | \(range) | \(aim) | \(verdict) |"
    }

    var json: JSON {
        func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
        return [
            "name": .string(name), "unit": .string(unit), "value": number(value), "floor": number(floor),
            "ratio": number(ratio), "lowest": number(range?.lowerBound), "highest": number(range?.upperBound),
            "aim": number(aim),
        ]
    }
}

extension Double {
    func rounded(to digits: Int) -> Double {
        let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
        return (self * scale).rounded() / scale
    }
}

/// The value that half of `values` are below.
func median<Value: Comparable>(_ values: [Value]) -> Value {
    values.sorted()[values.count / 2]
}

extension Double {
    /// The decimal logarithm.
    var log10: Double { Glibc.log10(self) }
}
