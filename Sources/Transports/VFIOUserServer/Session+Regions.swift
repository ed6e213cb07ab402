import Device
import Linux
import Tap
import VFIO

extension Session {
    /// From so many bytes on, the copy that is saved costs more than what it takes to do without.
    static let leastByMemory = 16 << 10

    /// VFIO_USER_REGION_READ
    func readRegion(_ payload: RawSpan) throws -> Outcome {
        let access = try RegionAccess(read: payload)
        guard access.count <= UInt32(Self.maximumTransfer) else { throw Errno.invalidArgument }
        let (region, count) = (Int(access.region), Int(access.count))
        if function.isWatched, parks(.read(region: region, offset: access.offset, by: .message), RawSpan()) {
            return .parked
        }
        var reply = replies.payloadBytes()
        access.write(into: &reply)
        if count >= Self.leastByMemory,
            let memory = function.memory(region: region, offset: access.offset, count: count)
        {
            counters.reads[region] &+= 1
            return .reply(
                Reply(payload: RegionAccess.size, attachment: .memory(memory, offset: Int(access.offset), count: count))
            )
        }
        let end = RegionAccess.size + count
        var data = reply._mutatingExtracting(RegionAccess.size..<end)
        try read(region: region, offset: access.offset, into: &data)
        return .reply(Reply(payload: end))
    }

    /// VFIO_USER_REGION_WRITE
    func writeRegion(_ payload: RawSpan) throws -> Outcome {
        let access = try RegionAccess(withData: payload, taken: written)
        guard access.count <= UInt32(Self.maximumTransfer) else { throw Errno.invalidArgument }
        let rest = payload.extracting(droppingFirst: RegionAccess.size)
        if written == 0 || !rest.isEmpty {
            if function.isWatched, written == 0,
                parks(.write(region: Int(access.region), offset: access.offset, by: .message), rest)
            {
                return .parked
            }
            try write(region: Int(access.region), offset: access.offset + UInt64(written), rest)
        } else {
            counters.writes[Int(access.region)] &+= 1
        }
        var reply = replies.payloadBytes()
        return .reply(Reply(payload: access.write(into: &reply)))
    }

    /// After how many writes of a message it is looked whether the turn is over.
    private static let writesBetweenLooks = 8

    /// Carries out the writes in their order; the first that fails ends it. VFIO_USER_REGION_WRITE_MULTI
    ///
    /// - Parameter first: the number of the first that is not carried out yet.
    func writeMultiple(_ payload: RawSpan, from first: Int) throws -> Outcome {
        guard client?.writeMultiple == true else { throw Errno.inappropriateIOCTLForDevice }
        let count = try SmallRegionWrite.count(payload)
        let end = Deadline(after: Self.turn)
        for number in first..<count {
            if number > first, number % Self.writesBetweenLooks == 0, end.hasPassed {
                return .unfinished(writesDone: number)
            }
            let item = try SmallRegionWrite(number: number, of: payload)
            let start = SmallRegionWrite.dataOffset(number: number)
            let data = payload.extracting(start..<start + Int(item.count))
            if function.isWatched,
                parks(.write(region: Int(item.region), offset: item.offset, by: .message), data)
            {
                writesDone = number
                return .parked
            }
            try write(region: Int(item.region), offset: item.offset, data)
        }
        var reply = replies.payloadBytes()
        reply.storeBytes(of: UInt64(count), toByteOffset: 0, as: UInt64.self)
        return .reply(Reply(payload: 8))
    }

    /// Reads for a client, by whatever way it asks.
    func read(region: Int, offset: UInt64, into data: inout MutableRawSpan, by way: Way = .message) throws {
        try function.read(region: region, offset: offset, into: &data, by: way)
        counters.reads[region] &+= 1
    }

    /// Writes for a client, by whatever way it asks.
    func write(region: Int, offset: UInt64, _ data: RawSpan, by way: Way = .message) throws {
        try function.write(region: region, offset: offset, from: data, by: way)
        counters.writes[region] &+= 1
    }
}
