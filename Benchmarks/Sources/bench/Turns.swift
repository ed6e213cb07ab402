import CFloor
import Glibc

/// A device and its floor, measured in short turns of one and of the other, on the same processors.
///
/// A machine that others use is slower for some milliseconds now and then: a turn is shorter, its neighbours are
/// compared with each other, and of all these comparisons the median counts. And where its pages happen to lie makes a
/// process a few per cent faster or slower for as long as it lives: so each comparison has several pairs of processes,
/// and tells how far apart their medians are.
struct Turns {
    /// How long a turn takes, about, in nanoseconds.
    private static let length = 2_000_000.0
    /// Exchanges at the beginning of a turn that don't count: caches hold what the other has left.
    private static let warmUp = 2
    /// The fewest that do.
    private static let fewest = 5

    let exchange: Exchange
    /// The client's and the server's.
    let processors: (client: Int32, server: Int32)
    /// How many processes of each there are, one after the other.
    var pairs = 6
    /// How many turns each has.
    var turns = 80

    /// - Parameters:
    ///   - divisor: how many things one exchange does.
    ///   - make: makes the device, once for each pair.
    func compare(
        _ name: String, divisor: Int = 1, aim: Double?, _ make: () throws -> some Answering
    ) throws -> Result {
        var (values, floors, ratios, medians): ([Double], [Double], [Double], [Double]) = ([], [], [], [])
        for _ in 0..<pairs {
            let pair = try measurePair(try make())
            values += pair.map(\.value)
            floors += pair.map(\.floor)
            let here = pair.map { $0.value / $0.floor }
            ratios += here
            medians.append(median(here))
        }
        return Result(
            name: name, unit: "ns", value: median(values) / Double(divisor), floor: median(floors) / Double(divisor),
            ratio: median(ratios), range: (medians.min() ?? 0)...(medians.max() ?? 0), aim: aim)
    }

    private func measurePair(_ device: some Answering) throws -> [(value: Double, floor: Double)] {
        let floor = try exchange.floor()
        floor.pin(processors)
        floor_pin(device.process, processors.server)
        let ours = device.socket
        _ = try exchange.measure(ours, times: Self.fewest)
        let times = max(Self.fewest, Int(Self.length / Double(median(try exchange.measure(floor.socket, times: 20)))))
        return try (0..<turns).map { number in
            // Whoever comes second finds warm caches: take turns at that too.
            let first = try turn(number % 2 == 0 ? ours : floor.socket, times)
            let second = try turn(number % 2 == 0 ? floor.socket : ours, times)
            return number % 2 == 0 ? (first, second) : (second, first)
        }
    }

    /// Nanoseconds for one exchange: the mean, for on two processors some find the other awake, and some don't. Of the
    /// slowest tenth are those amid which somebody else had the processor: it doesn't count.
    private func turn(_ socket: Int32, _ times: Int) throws -> Double {
        let all = try exchange.measure(socket, times: Self.warmUp + times).dropFirst(Self.warmUp)
        let most = all.sorted().prefix(times - times / 10)
        return Double(most.reduce(0) { $0 + UInt64($1) }) / Double(most.count)
    }
}
