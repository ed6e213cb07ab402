import CFloor
import Linux
import VFIOUserClient

/// A map and its unmapping while others are held, against the same bytes to and fro.
struct MapPairs {
    let program: String

    func compare(_ held: [Int]) throws -> [Result] {
        let exchange = Exchange.mapPair(address: 1 << 40)
        var first: Double?
        return try held.map { count in
            let device = try DeviceUnderTest("exerciser", program: program)
            try device.mapMemory(count)
            var result = try exchange.compare(
                "Map and unmap, \(count) maps held, two processors", with: device, rounds: 15, times: 1000,
                processors: Place.twoProcessors.processors, aim: 1 / 0.9)
            if let first, let ratio = result.ratio {
                result.name += " (\((ratio / first).rounded(to: 2)) × none)"
            }
            first = first ?? result.ratio
            return result
        }
    }
}

extension DeviceUnderTest {
    /// Maps so many pages, apart from each other.
    func mapMemory(_ count: Int) throws {
        for number in 0..<UInt64(count) { try client.map(address: number << 13, size: 4096) }
    }
}
