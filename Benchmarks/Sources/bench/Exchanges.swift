import CFloor
import Glibc
import Linux
import VFIO

/// What a client sends at a time, and how much it gets.
struct Exchange {
    let request: [UInt8]
    /// How much of the request one system call sends, in bytes.
    let messageSize: Int
    let replySize: Int

    private init(request: [UInt8], messageSize: Int? = nil, replySize: Int) {
        self.request = request
        self.messageSize = messageSize ?? request.count
        self.replySize = replySize
    }

    /// VFIO_USER_REGION_READ
    static func read(region: UInt32, offset: UInt64, count: Int) -> Exchange {
        Exchange(
            request: message(.regionRead, region, offset, count, data: 0),
            replySize: MessageHeader.size + RegionAccess.size + count)
    }

    /// VFIO_USER_REGION_WRITE
    static func write(region: UInt32, offset: UInt64, count: Int) -> Exchange {
        Exchange(
            request: message(.regionWrite, region, offset, count, data: count),
            replySize: MessageHeader.size + RegionAccess.size)
    }

    /// Writes that want no answer, sent one by one, and a read that shows that all were done.
    static func postedWrites(_ number: Int, region: UInt32, offset: UInt64) -> Exchange {
        let write = message(.regionWrite, region, offset, 4, data: 4, flags: .noReply)
        let read = Exchange.read(region: region, offset: offset, count: 4)
        return Exchange(
            request: (0..<number).flatMap { _ in write } + read.request, messageSize: write.count,
            replySize: read.replySize)
    }

    private static func message(
        _ command: Command, _ region: UInt32, _ offset: UInt64, _ count: Int, data: Int,
        flags: MessageHeader.Flags = []
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: MessageHeader.size + RegionAccess.size + data)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        MessageHeader(command, id: 1, payload: RegionAccess.size + data, flags: flags).write(into: &raw)
        RegionAccess(region: region, offset: offset, count: UInt32(count)).write(into: &raw, at: MessageHeader.size)
        return bytes
    }

    /// How long each of `times` exchanges took, in nanoseconds.
    func measure(_ socket: Int32, times: Int) throws -> [UInt32] {
        var nanoseconds = [UInt32](repeating: 0, count: times)
        var reply = [UInt8](repeating: 0, count: replySize)
        let result = request.withUnsafeBytes { request in
            floor_measure(
                socket,
                exchange(
                    request: request.baseAddress, request_size: request.count, message_size: messageSize,
                    reply_size: replySize),
                &reply, times, &nanoseconds)
        }
        guard result == 0 else { throw Errno(rawValue: -result) }
        return nanoseconds
    }

    /// Compares a device with the floor: runs of one and of the other in turn, all on the same processors.
    ///
    /// - Parameters:
    ///   - divisor: how many things one exchange does.
    ///   - processors: the client's and the server's.
    func compare(
        _ name: String, with device: DeviceUnderTest, rounds: Int = 60, times: Int, divisor: Int = 1,
        processors: (client: Int32, server: Int32), aim: Double?
    ) throws -> Result {
        var floorSocket: Int32 = -1
        let floorProcess = floor_start(request.count, replySize, &floorSocket)
        guard floorProcess > 0 else { throw Errno(rawValue: -floorProcess) }
        defer {
            close(floorSocket)
            waitpid(floorProcess, nil, 0)
        }
        let ours = device.connection.raw
        _ = try measure(ours, times: times)
        _ = try measure(floorSocket, times: times)
        floor_pin(getpid(), processors.client)
        floor_pin(floorProcess, processors.server)
        floor_pin(device.process, processors.server)
        var values: [UInt32] = []
        var floors: [UInt32] = []
        var ratios: [Double] = []
        for round in 0..<rounds {
            // Whoever comes second finds warm caches: take turns at that too.
            let first = try measure(round % 2 == 0 ? ours : floorSocket, times: times)
            let second = try measure(round % 2 == 0 ? floorSocket : ours, times: times)
            let (value, floor) = round % 2 == 0 ? (median(first), median(second)) : (median(second), median(first))
            values.append(value)
            floors.append(floor)
            ratios.append(Double(value) / Double(floor))
        }
        return Result(
            name: name, unit: "ns", value: Double(median(values)) / Double(divisor),
            floor: Double(median(floors)) / Double(divisor), ratio: median(ratios), aim: aim)
    }
}
