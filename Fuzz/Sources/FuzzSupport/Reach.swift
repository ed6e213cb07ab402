import Linux

/// Which features of its target a fuzzer has reached, and how often: told when it ends.
public struct Reach<Feature: Hashable> {
    private let features: [Feature]
    private var counts: [Feature: Int]

    /// - Parameter features: all there are, in the order in which they are told.
    public init(_ features: [Feature]) {
        self.features = features
        counts = Dictionary(features.map { ($0, 0) }) { first, _ in first }
    }

    /// A feature was reached once more.
    public mutating func note(_ feature: Feature) {
        guard let count = counts[feature] else { fuzzFailed("The fuzzer knows no feature '\(feature)'.") }
        counts[feature] = count + 1
    }

    /// - Returns: whether each feature was reached.
    func tell() -> Bool {
        for feature in features {
            let count = counts[feature] ?? 0
            StandardError.print("reach: \(feature): \(count == 0 ? "NOT REACHED" : "\(count)")")
        }
        let reached = features.count { counts[$0] != 0 }
        StandardError.print("reached \(reached) of \(features.count) features")
        return reached == features.count
    }
}
