import ArgumentParser

/// A number of bytes, written as a whole number with K, M, G or T for powers of 1024, or none.
struct Size: Equatable, ExpressibleByArgument, CustomStringConvertible {
    let bytes: Int

    private static let units: [(letter: Character, factor: Int)] = [
        ("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10),
    ]

    init(_ bytes: Int) {
        self.bytes = bytes
    }

    init?(argument: String) {
        let unit = Self.units.first { $0.letter == argument.last }
        guard let number = Int(unit == nil ? argument[...] : argument.dropLast()), number >= 0 else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: unit?.factor ?? 1)
        guard !overflow else { return nil }
        self.bytes = bytes
    }

    /// With the largest unit that leaves a whole number.
    var description: String {
        guard bytes != 0, let unit = Self.units.first(where: { bytes.isMultiple(of: $0.factor) }) else {
            return "\(bytes)"
        }
        return "\(bytes / unit.factor)\(unit.letter)"
    }
}
