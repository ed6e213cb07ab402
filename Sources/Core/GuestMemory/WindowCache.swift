/// Maps that were found lately, by page: among very many, one look here costs less than a search of the table.
///
/// As in a processor's TLB every page has one place, which it shares with others. There are at least twice as many
/// places as maps, 32 bytes each, and none while the maps are so few that a search is as fast.
struct WindowCache {
    /// Up to how many maps are searched without a cache: two cache lines of keys in each of two levels.
    static let searchedMaps = 256

    private var places: [Window] = []
    /// How far a hash is shifted to become a place.
    private var shift: UInt64 = 64

    /// Makes room for a table of so many maps; loses what was found when there was not enough.
    mutating func grow(for maps: Int) {
        guard maps > Self.searchedMaps, maps * 2 > places.count else { return }
        var count = Self.searchedMaps * 2
        while count < maps * 2 { count *= 2 }
        places = Array(repeating: .none, count: count)
        shift = 64 - UInt64(count.trailingZeroBitCount)
    }

    var isEmpty: Bool { places.isEmpty }

    /// The map that contains `address`, when it is here.
    ///
    /// - Precondition: not ``isEmpty``.
    @inline(__always)
    func window(at address: UInt64) -> Window? {
        let found = places[place(of: address / pageSize)]
        return found.contains(address) ? found : nil
    }

    /// Keeps a map that contains `address`.
    ///
    /// - Precondition: not ``isEmpty``.
    mutating func keep(_ window: Window, at address: UInt64) {
        places[place(of: address / pageSize)] = window
    }

    /// To be called when a map is removed.
    mutating func forget(_ window: Window) {
        let (first, last) = (window.start / pageSize, window.last / pageSize)
        guard last - first < UInt64(places.count) else {
            for place in places.indices { places[place] = .none }
            return
        }
        for page in first...last {
            let place = place(of: page)
            if places[place].start == window.start { places[place] = .none }
        }
    }

    /// Multiplied by 2^64 over the golden ratio, pages at equal distances spread evenly over the high bits. Knuth, The
    /// Art of Computer Programming, volume 3, section 6.4.
    @inline(__always)
    private func place(of page: UInt64) -> Int {
        Int(truncatingIfNeeded: (page &* 0x9e37_79b9_7f4a_7c15) >> shift)
    }
}
