import GuestMemory

/// From descriptors to the pieces of memory that they stand for.
extension Virtqueue {
    struct SegmentList {
        fileprivate(set) var segments: [Chain.Segment] = []
        /// How many of them, from the first on, are for the device to read.
        fileprivate(set) var readableCount = 0
        private var bytes: UInt64 = 0

        fileprivate mutating func append(_ descriptor: Descriptor, isWritable: Bool, maximum: Int) throws(VirtioFailure)
        {
            guard segments.count < maximum else { throw .chainTooLong(maximum: maximum) }
            if !isWritable {
                guard readableCount == segments.count else { throw .readableAfterWritable }
                readableCount += 1
            }
            bytes += UInt64(descriptor.length)
            guard bytes <= 1 << 32 else { throw .chainTooLarge(bytes) }
            segments.append(Chain.Segment(address: descriptor.address, length: descriptor.length))
        }
    }

    /// Checks the copies of a chain's descriptors, and of the indirect table where the last one leads to one.
    ///
    /// A chain may have as many segments as the queue's maximum size, also where the driver has made the queue smaller:
    /// a table needs no place in the ring.
    func segments(of descriptors: [Descriptor]) throws(VirtioFailure) -> SegmentList {
        var list = SegmentList()
        list.segments.reserveCapacity(descriptors.count)
        let format = port.features.contains(.packedRing) ? Descriptor.Format.packed : .split
        for descriptor in descriptors {
            let flags = descriptor.flags(format)
            if flags.contains(.indirect) {
                guard !flags.contains(.next) else { throw .indirectChained }
                try appendTable(descriptor, format, to: &list)
            } else {
                try list.append(descriptor, isWritable: flags.contains(.write), maximum: maximumSize)
            }
        }
        return list
    }

    private func appendTable(
        _ descriptor: Descriptor, _ format: Descriptor.Format, to list: inout SegmentList
    ) throws(VirtioFailure) {
        guard port.features.contains(.indirectDescriptors) else { throw .indirectNotNegotiated }
        let count = Int(descriptor.length) / Descriptor.size
        guard count > 0, Int(descriptor.length) % Descriptor.size == 0 else {
            throw .indirectLength(descriptor.length)
        }
        // A table may be longer than the chain in it.
        let table = try table(at: descriptor.address, count: min(count, maximumSize))
        switch format {
        case .split:
            var index = 0
            while true {
                guard index < count else { throw .descriptorIndex(index, count: count) }
                guard index < table.count else { throw .chainTooLong(maximum: maximumSize) }
                let flags = table[index].flags(.split)
                guard !flags.contains(.indirect) else { throw .indirectNested }
                // Also ends a loop.
                try list.append(table[index], isWritable: flags.contains(.write), maximum: maximumSize)
                guard flags.contains(.next) else { return }
                index = Int(table[index].next)
            }
        case .packed:
            // In their order, all of them; only the write flag counts. VIRTIO 1.2, section 2.8.7.
            guard count <= maximumSize else { throw .chainTooLong(maximum: maximumSize) }
            for entry in table {
                let flags = entry.flags(.packed)
                guard !flags.contains(.indirect) else { throw .indirectNested }
                try list.append(entry, isWritable: flags.contains(.write), maximum: maximumSize)
            }
        }
    }

    /// A copy of an indirect table, by one access.
    private func table(at address: UInt64, count: Int) throws(VirtioFailure) -> [Descriptor] {
        var failure: DMAError?
        let table = [Descriptor](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(DMAError) {
                // SAFETY: the buffer has room for so many descriptors; they count as there once all bytes are read.
                let bytes = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: count * Descriptor.size)
                try memory.read(at: address, into: bytes)
                initialized = count
            } catch {
                failure = error
            }
        }
        if let failure { throw .memory(failure) }
        return table
    }
}
