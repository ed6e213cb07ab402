/// Where a function's BARs are in a guest, and where the frames behind them: what the process that serves it leaves to
/// the next one when it is killed. It is kept in the page of requests, behind the last of them, where no guest looks.
///
/// What is to be done is noted first. So each thing here may be, or not yet.
public struct SlotRecord: Equatable, Sendable {
    /// A BAR's, or the expansion ROM's.
    public struct Place: Equatable, Sendable {
        public var region: Int
        public var isPorts: Bool
        public var range: ClosedRange<UInt64>
    }

    /// Frames that were taken from where they lie otherwise.
    public struct Part: Equatable, Sendable {
        public var home: UInt64
        public var count: UInt64
        public var now: UInt64
    }

    public var places: [Place] = []
    public var parts: [Part] = []

    public init(places: [Place] = [], parts: [Part] = []) {
        self.places = places
        self.parts = parts
    }

    // MARK: As words

    static let maximumPlaces = 7
    static let maximumParts = 16
    static let wordCount = 1 + 3 * (maximumPlaces + maximumParts)

    /// What is noted; nil when there is too much.
    var words: [UInt64]? {
        guard places.count <= Self.maximumPlaces, parts.count <= Self.maximumParts else { return nil }
        var words = [UInt64(places.count) | UInt64(parts.count) << 32]
        for place in places {
            let kind = UInt64(place.region) << 1 | (place.isPorts ? 1 : 0)
            words += [kind, place.range.lowerBound, place.range.upperBound]
        }
        for part in parts { words += [part.home, part.count, part.now] }
        return words + Array(repeating: 0, count: Self.wordCount - words.count)
    }

    /// Takes a record of another process's, which may be anything.
    ///
    /// - Returns: nil for what can't be one. What it says of ranges and frames then lies in what a processor can
    ///   address.
    init?(words: [UInt64]) {
        guard words.count == Self.wordCount else { return nil }
        let (placeCount, partCount) = (words[0] & 0xffff_ffff, words[0] >> 32)
        guard placeCount <= UInt64(Self.maximumPlaces), partCount <= UInt64(Self.maximumParts) else { return nil }
        func triple(_ index: Int) -> (UInt64, UInt64, UInt64) {
            (words[1 + 3 * index], words[2 + 3 * index], words[3 + 3 * index])
        }
        for index in 0..<Int(placeCount) {
            let (kind, first, last) = triple(index)
            let region = Int(truncatingIfNeeded: kind >> 1)
            guard kind >> 1 < UInt64(Self.maximumPlaces), first <= last, last < Self.addressSpace,
                !places.contains(where: { $0.region == region })
            else { return nil }
            places.append(Place(region: region, isPorts: kind & 1 != 0, range: first...last))
        }
        let frames = Self.addressSpace / UInt64(Domain.frameSize)
        for index in Int(placeCount)..<Int(placeCount + partCount) {
            let (home, count, now) = triple(index)
            guard count > 0, count <= UInt64(UInt32.max), home < frames, now < frames, count <= frames - home,
                count <= frames - now
            else { return nil }
            parts.append(Part(home: home, count: count, now: now))
        }
    }

    /// In bytes: what x86 processors can address.
    static let addressSpace: UInt64 = 1 << 52
}
