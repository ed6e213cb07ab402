import Linux
import VFIO
import VFIOUserClient

/// The same accesses to any vfio-user server that is running: configuration space, which each has, and its largest
/// region.
struct Comparison {
    let path: String

    func run() throws {
        print(Result.heading)
        var configuration = Client.Configuration()
        configuration.capabilities.accessRing = nil
        let socket = try UnixSocket(connectingTo: path)
        let raw = socket.descriptor.raw
        let client = try Client(socket, configuration: configuration)
        try row("Read of configuration space, 4 bytes", Exchange.read(region: 7, offset: 0, count: 4), raw, times: 2000)
        let regions = try (0..<6).map { try client.region($0).info }
        guard let largest = regions.max(by: { $0.length < $1.length }), largest.length >= 4096 else { return }
        for size in [4 << 10, 64 << 10, 1 << 20]
        where UInt64(size) <= largest.length && size <= client.server.maxDataTransfer {
            try row(
                "Read of region \(largest.index), \(size >> 10) KiB",
                Exchange.read(region: largest.index, offset: 0, count: size),
                raw, times: 50)
        }
    }

    private func row(_ name: String, _ exchange: Exchange, _ socket: Int32, times: Int) throws {
        let floor = try exchange.floor()
        var (values, floors): ([Double], [Double]) = ([], [])
        for _ in 0..<20 {
            values.append(Double(median(try exchange.measure(socket, times: times))))
            floors.append(Double(median(try exchange.measure(floor.socket, times: times))))
        }
        print(
            Result(
                name: name, unit: "ns", value: median(values), floor: median(floors),
                ratio: median(zip(values, floors).map { $0 / $1 })
            ).row)
    }
}
