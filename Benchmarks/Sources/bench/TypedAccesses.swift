import CFloor
import Glibc
import Linux
import VFIOUserClient

/// Register accesses by the typed client, which waits awake while traffic is dense, against a floor that sleeps.
struct TypedAccesses {
    private static let times = 4000
    private static let rounds = 15

    let program: String

    /// - Parameter usesRing: by the access ring; else by messages.
    func compare(_ place: Place, usesRing: Bool) throws -> [Result] {
        let device = try DeviceUnderTest("exerciser", program: program)
        var configuration = Client.Configuration()
        if !usesRing { configuration.capabilities.accessRing = nil }
        // The device under test has a raw client: this one takes its place.
        let client = try device.typedClient(configuration)
        let exchange = Exchange.read(region: 0, offset: 4, count: 4)
        let floor = try exchange.floor()
        floor.pin(place.processors)
        floor_pin(device.process, place.processors.server)
        var (reads, writes, floors): ([Double], [Double], [Double]) = ([], [], [])
        for _ in 0..<Self.rounds {
            floors.append(Double(median(try exchange.measure(floor.socket, times: Self.times / 4))))
            reads.append(try read(client))
            writes.append(try write(client))
        }
        let way = usesRing ? "access ring" : "socket, waiting awake"
        return [
            result("Register read by \(way), \(place.name)", reads, floors, usesRing ? 0.1 : 0.25, place),
            result("Posted write by \(way), \(place.name)", writes, floors, usesRing ? 0.02 : nil, place),
        ]
    }

    /// What a floor that never sleeps takes of one that does, with the same client.
    static func comparePollingFloor() throws -> Result {
        let exchange = Exchange.read(region: 0, offset: 4, count: 4)
        let (sleeping, polling) = (
            try exchange.floor(), try exchange.floor(floor_polls)
        )
        sleeping.pin(Place.twoProcessors.processors)
        polling.pin(Place.twoProcessors.processors)
        var (values, floors): ([Double], [Double]) = ([], [])
        for _ in 0..<rounds {
            // The one that polls would keep the processor from the other: one after the other.
            kill(polling.process, SIGSTOP)
            floors.append(Double(median(try exchange.measure(sleeping.socket, times: times / 4))))
            kill(polling.process, SIGCONT)
            values.append(Double(median(try exchange.measure(polling.socket, times: times / 4))))
        }
        return Result(
            name: "Raw echo by a server that polls, two processors", unit: "ns", value: median(values),
            floor: median(floors), ratio: median(zip(values, floors).map { $0 / $1 }))
    }

    private func result(_ name: String, _ values: [Double], _ floors: [Double], _ aim: Double?, _ place: Place)
        -> Result
    {
        Result(
            name: name, unit: "ns", value: median(values), floor: median(floors),
            ratio: median(zip(values, floors).map { $0 / $1 }), aim: place == .twoProcessors ? aim : nil)
    }

    private func read(_ client: Client) throws -> Double {
        var times: [UInt64] = []
        for _ in 0..<Self.times {
            let start = now()
            _ = try client.read(UInt32.self, region: 0, offset: 4)
            times.append(now() - start)
        }
        return Double(median(times))
    }

    /// The mean: a posted write by itself has no end.
    private func write(_ client: Client) throws -> Double {
        let start = now()
        for number in 0..<UInt32(Self.times) { try client.write(number, region: 0, offset: 4, isPosted: true) }
        _ = try client.read(UInt32.self, region: 0, offset: 4)
        return Double(now() - start) / Double(Self.times)
    }
}
