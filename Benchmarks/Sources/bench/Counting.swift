import Linux
import VFIOUserServer

/// What a server counts for each access, against the access itself.
struct Counting {
    private static let times = 1 << 20
    private static let rounds = 15

    let program: String

    func compare() throws -> Result {
        let device = try DeviceUnderTest("exerciser", program: program)
        let exchange = Exchange.read(region: 0, offset: 4, count: 4)
        var statistics = Statistics()
        var (values, accesses): ([Double], [Double]) = ([], [])
        for _ in 0..<Self.rounds {
            accesses.append(Double(median(try exchange.measure(device.connection.raw, times: 1000))))
            values.append(Self.measure(&statistics))
        }
        return Result(
            name: "Counting of a register read; floor: the read by socket", unit: "ns", value: median(values),
            floor: median(accesses), ratio: median(zip(values, accesses).map { $0 / $1 }), aim: 0.01)
    }

    /// Nanoseconds for what the server does of this for one read.
    private static func measure(_ statistics: inout Statistics) -> Double {
        let start = now()
        for number in 0..<times {
            statistics.messages &+= 1
            let access = statistics.latency.begin()
            // The region isn't known before it is read from the message.
            statistics.reads[number & 7] &+= 1
            statistics.latency.end(access)
        }
        return Double(now() - start) / Double(times)
    }
}
