import CFloor
import Linux
import VFIOUserClient

/// A map and its unmapping while others are held, against the same bytes to and fro.
struct MapPairs {
    let program: String

    func compareAll() throws -> [Result] {
        var results = [
            try compare("Map and unmap, each answered, no maps held", held: 0, isPosted: false, .oneProcessor),
            try compare("Map and unmap, no maps held", held: 0, .oneProcessor),
            try compare("Map and unmap, no maps held", held: 0, .twoProcessors),
        ]
        let first = results.last?.ratio ?? 1
        for held in [16, 1024, 65_534] {
            var result = try compare("Map and unmap, \(held) maps held", held: held, .twoProcessors)
            if let ratio = result.ratio { result.name += " (\((ratio / first).rounded(to: 2)) × none)" }
            results.append(result)
        }
        return results
    }

    /// - Parameter isPosted: the client doesn't wait for the map.
    private func compare(_ name: String, held: Int, isPosted: Bool = true, _ place: Place) throws -> Result {
        let turns = Turns(
            exchange: .mapPair(address: 1 << 40, isPosted: isPosted), processors: place.processors,
            pairs: held > 1024 ? 2 : 6)
        return try turns.compare("\(name), \(place.name)", aim: held == 0 ? 1 / 0.95 : 1 / 0.9) {
            let device = try DeviceUnderTest("exerciser", program: program)
            try device.mapMemory(held)
            return device
        }
    }
}

extension DeviceUnderTest {
    /// Maps so many pages, apart from each other.
    func mapMemory(_ count: Int) throws {
        for number in 0..<UInt64(count) { try client.map(address: number << 13, size: 4096) }
    }
}
