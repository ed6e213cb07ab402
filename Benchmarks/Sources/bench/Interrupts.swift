import CFloor
import Glibc
import Linux
import VFIO
import VFIOUserClient

/// From the write that causes an interrupt to the client that waits for its eventfd.
struct InterruptLatency {
    private static let times = 2000
    private static let rounds = 15

    let program: String

    func compare(_ place: Place) throws -> Result {
        let device = try DeviceUnderTest("exerciser", program: program)
        var configuration = Client.Configuration()
        configuration.capabilities.accessRing = nil
        let client = try device.typedClient(configuration)
        let interrupt = try EventFD()
        try client.setEventFDs([interrupt], kind: .msix)
        let signal = try EventFD()
        var socket: Int32 = -1
        let process = floor_start_signalling(32, signal.descriptor.raw, &socket)
        guard process > 0 else { throw Errno(rawValue: -process) }
        defer {
            close(socket)
            waitpid(process, nil, 0)
        }
        floor_pin(getpid(), place.processors.client)
        floor_pin(process, place.processors.server)
        floor_pin(device.process, place.processors.server)
        var (values, floors): ([Double], [Double]) = ([], [])
        let request = [UInt8](repeating: 0, count: 32)
        for _ in 0..<Self.rounds {
            floors.append(try measure(signal) { _ = send(socket, request, request.count, 0) })
            values.append(
                try measure(interrupt) { try client.write(UInt32(0), region: 0, offset: 0x10, isPosted: true) })
        }
        return Result(
            name: "Interrupt, from the cause to the waiting client, \(place.name)", unit: "ns", value: median(values),
            floor: median(floors), ratio: median(zip(values, floors).map { $0 / $1 }))
    }

    private func measure(_ eventFD: EventFD, _ cause: () throws -> Void) throws -> Double {
        var times: [UInt64] = []
        for _ in 0..<Self.times {
            let start = now()
            try cause()
            guard eventFD.wait(within: .seconds(5)) > 0 else { throw Errno.timedOut }
            times.append(now() - start)
        }
        return Double(median(times))
    }
}
