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
    /// How many replies these are, each to as many bytes of the request.
    let replies: Int

    private init(request: [UInt8], messageSize: Int? = nil, replySize: Int, replies: Int = 1) {
        self.request = request
        self.messageSize = messageSize ?? request.count
        self.replySize = replySize
        self.replies = replies
    }

    /// What answers it with nothing of ours.
    func floor() throws -> Floor {
        try Floor(requestSize: request.count / replies, replySize: replySize / replies)
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

    /// So many of an exchange sent one by one, before the first reply is looked for.
    func pipelined(_ depth: Int) -> Exchange {
        Exchange(
            request: (0..<depth).flatMap { _ in request }, messageSize: messageSize, replySize: depth * replySize,
            replies: depth)
    }

    /// A map and its unmapping, of memory without a descriptor; only the second is answered.
    static func mapPair(address: UInt64) -> Exchange {
        let map = wire(.dmaMap, .noReply) {
            DMAMap(flags: [.read, .write], address: address, length: 4096).write(into: &$0)
        }
        let unmap = wire(.dmaUnmap, []) { DMAUnmap(address: address, length: 4096).write(into: &$0) }
        return Exchange(request: map + unmap, messageSize: map.count, replySize: unmap.count)
    }

    private static func wire(
        _ command: Command, _ flags: MessageHeader.Flags, _ body: (inout MutableRawSpan) -> Int
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 256)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        var payload = raw._mutatingExtracting(MessageHeader.size..<256)
        let count = body(&payload)
        MessageHeader(command, id: 1, payload: count, flags: flags).write(into: &raw)
        return Array(bytes.prefix(MessageHeader.size + count))
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
        let floor = try floor()
        let ours = device.connection.raw
        _ = try measure(ours, times: times)
        _ = try measure(floor.socket, times: times)
        floor.pin(processors)
        floor_pin(device.process, processors.server)
        var values: [UInt32] = []
        var floors: [UInt32] = []
        var ratios: [Double] = []
        for round in 0..<rounds {
            // Whoever comes second finds warm caches: take turns at that too.
            let first = try measure(round % 2 == 0 ? ours : floor.socket, times: times)
            let second = try measure(round % 2 == 0 ? floor.socket : ours, times: times)
            let (value, least) = round % 2 == 0 ? (median(first), median(second)) : (median(second), median(first))
            values.append(value)
            floors.append(least)
            ratios.append(Double(value) / Double(least))
        }
        return Result(
            name: name, unit: "ns", value: Double(median(values)) / Double(divisor),
            floor: Double(median(floors)) / Double(divisor), ratio: median(ratios), aim: aim)
    }
}
