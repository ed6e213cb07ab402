import Linux
import VFIO
import VFIOUserWire

/// Reading and writing a device's regions: by the access ring where there is one and the data fits into it, else by
/// message.
extension Client {
    /// Reads `count` bytes. VFIO_USER_REGION_READ
    ///
    /// - Parameters:
    ///   - offset: in bytes from the region's beginning.
    ///   - count: at most the server's `max_data_xfer_size`.
    public func read(region: Int, offset: UInt64, count: Int) throws(ClientError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try read(region: region, offset: offset, into: &raw)
        return bytes
    }

    /// Reads a number in the byte order of the host.
    public func read<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type, region: Int, offset: UInt64
    ) throws(ClientError) -> Value {
        if let ring = freeRing {
            let entry = RingEntry(.read, region: region, offset: offset, count: MemoryLayout<Value>.size)
            return Value(truncatingIfNeeded: try carryOut(entry, by: ring, .regionRead).number)
        }
        let message = try readMessage(region, offset, MemoryLayout<Value>.size)
        defer { finish(message) }
        return payload(of: message).unsafeLoadUnaligned(fromByteOffset: RegionAccess.size, as: Value.self)
    }

    /// Reads as many bytes as `target` has.
    public func read(region: Int, offset: UInt64, into target: inout MutableRawSpan) throws(ClientError) {
        let entry = RingEntry(.read, region: region, offset: offset, count: target.byteCount)
        if let ring = freeRing, let range = entry.dataRange {
            let answer = try carryOut(entry, by: ring, .regionRead)
            return target.copy(answer.words.span.bytes.extracting(range), to: 0)
        }
        let message = try readMessage(region, offset, target.byteCount)
        defer { finish(message) }
        target.copy(payload(of: message).extracting(droppingFirst: RegionAccess.size), to: 0)
    }

    private func readMessage(
        _ region: Int, _ offset: UInt64, _ count: Int
    ) throws(ClientError) -> MessageStream.Message {
        let access = RegionAccess(region: UInt32(truncatingIfNeeded: region), offset: offset, count: UInt32(count))
        let size = prepare { access.write(into: &$0) }
        let message = try call(.regionRead, payload: size)
        let answer = try parse(.regionRead, message) { payload throws(MalformedMessage) in
            try RegionAccess(withData: payload)
        }
        guard answer == access else {
            finish(message)
            throw .malformed(.regionRead, .field("count", value: UInt64(answer.count)))
        }
        return message
    }

    /// Writes `bytes`. VFIO_USER_REGION_WRITE
    ///
    /// - Parameter isPosted: don't wait for an answer; an error goes unnoticed then.
    public func write(
        region: Int, offset: UInt64, bytes: RawSpan, isPosted: Bool = false
    ) throws(ClientError) {
        var entry = RingEntry(.write, region: region, offset: offset, count: bytes.byteCount)
        if let ring = freeRing, let range = entry.dataRange {
            var words = entry.words.mutableSpan
            var all = words.mutableBytes
            all.copy(bytes, to: range.lowerBound)
            return try write(entry, by: ring, isPosted: isPosted)
        }
        let access = RegionAccess(
            region: UInt32(truncatingIfNeeded: region), offset: offset, count: UInt32(bytes.byteCount))
        let size = prepare { access.write(into: &$0) }
        if isPosted { return try post(.regionWrite, payload: size, data: bytes) }
        finish(try call(.regionWrite, payload: size, data: bytes))
    }

    /// Writes a number in the byte order of the host.
    public func write<Value: FixedWidthInteger & BitwiseCopyable>(
        _ value: Value, region: Int, offset: UInt64, isPosted: Bool = false
    ) throws(ClientError) {
        if let ring = freeRing {
            var entry = RingEntry(.write, region: region, offset: offset, count: MemoryLayout<Value>.size)
            entry.number = UInt64(truncatingIfNeeded: value)
            return try write(entry, by: ring, isPosted: isPosted)
        }
        let access = RegionAccess(
            region: UInt32(truncatingIfNeeded: region), offset: offset, count: UInt32(MemoryLayout<Value>.size))
        let size = prepare { bytes in
            let end = access.write(into: &bytes)
            bytes.storeBytes(of: value, toByteOffset: end, as: Value.self)
            return end + MemoryLayout<Value>.size
        }
        if isPosted { return try post(.regionWrite, payload: size) }
        finish(try call(.regionWrite, payload: size))
    }

    private func write(_ entry: RingEntry, by ring: RingProducer, isPosted: Bool) throws(ClientError) {
        if isPosted {
            try put(entry, into: ring, .regionWrite)
        } else {
            _ = try carryOut(entry, by: ring, .regionWrite)
        }
    }

    /// Writes several small values with one message. VFIO_USER_REGION_WRITE_MULTI
    ///
    /// - Parameter writes: at most `SmallRegionWrite.maximumCount`.
    /// - Throws: ``ClientError/unavailable(_:)`` when the server didn't offer `write_multiple`.
    public func write(_ writes: [SmallRegionWrite], isPosted: Bool = false) throws(ClientError) {
        guard server.writeMultiple else { throw .unavailable("The server takes no VFIO_USER_REGION_WRITE_MULTI.") }
        guard writes.count <= SmallRegionWrite.maximumCount else {
            throw .unavailable("\(writes.count) writes don't fit into one message.")
        }
        let size = prepare { bytes in
            bytes.storeBytes(of: UInt64(writes.count), toByteOffset: 0, as: UInt64.self)
            for (number, write) in writes.enumerated() { write.write(into: &bytes, number: number) }
            return 8 + writes.count * SmallRegionWrite.size
        }
        if isPosted { return try post(.regionWriteMulti, payload: size) }
        finish(try call(.regionWriteMulti, payload: size))
    }
}
