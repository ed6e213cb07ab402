/// The MSI-X table and pending-bit array, as a BAR serves them.
/// PCI Local Bus Specification 3.0, sections 6.8.2.6 to 6.8.2.10.
///
/// Offsets are from the start of the table or array, wherever ``MSIXLayout`` puts it. Accesses of any width
/// are right, though software is only allowed aligned ones of 4 and 8 bytes. Reads and writes don't allocate as long as
/// there is one copy of the value.
public struct MSIXTable: Equatable, Sendable {
    /// One vector, as the guest has set it up.
    public struct Entry: Codable, Equatable, Sendable {
        /// A multiple of 4.
        public var address: UInt64
        public var data: UInt32
        /// Vector control, bit 0.
        public var masked: Bool

        public init(address: UInt64, data: UInt32, masked: Bool) {
            self.address = address
            self.data = data
            self.masked = masked
        }

        public var message: MSIMessage { MSIMessage(address: address, data: data) }
    }

    /// In bytes.
    private static let entrySize = 16
    private static let unused = Entry(address: 0, data: 0, masked: true)

    private var entries: [Entry]

    /// A table after reset: every vector is masked.
    ///
    /// - Parameter vectors: 1 to 2048.
    public init(vectors: Int) throws(ConfigurationError) {
        guard (1...MSIX.maximumVectors).contains(vectors) else { throw .msixVectors(vectors) }
        entries = Array(repeating: Self.unused, count: vectors)
    }

    public var vectors: Int { entries.count }

    /// What vector `vector` sends and whether it may; nil when there is no such vector.
    public subscript(vector: Int) -> Entry? {
        entries.indices.contains(vector) ? entries[vector] : nil
    }

    /// Reads the table. Bytes outside it read as zero.
    public func read(at offset: Int, into target: inout MutableRawSpan) {
        for index in 0..<target.byteCount {
            let position = offset &+ index
            var byte: UInt8 = 0
            if let vector = vector(at: position) { byte = entries[vector].byte(at: position % Self.entrySize) }
            target.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
    }

    /// Writes the table. Bytes outside it are ignored.
    ///
    /// - Returns: the vectors written to, which may have pending messages to deliver now; empty when there are none.
    public mutating func write(at offset: Int, from source: RawSpan) -> Range<Int> {
        var touched = 0..<0
        for index in 0..<source.byteCount {
            let position = offset &+ index
            guard let vector = vector(at: position) else { continue }
            entries[vector].set(source.byte(at: index), at: position % Self.entrySize)
            touched = touched.isEmpty ? vector..<vector + 1 : touched.lowerBound..<vector + 1
        }
        return touched
    }

    /// Reads the pending-bit array. Bits of vectors that don't exist, and bytes outside the array, read as zero.
    ///
    /// - Parameter pending: bit n of element m is vector 64 m + n; missing elements are zero.
    @_lifetime(target: copy target)
    public func readPending(_ pending: Span<UInt64>, at offset: Int, into target: inout MutableRawSpan) {
        for index in 0..<target.byteCount {
            let position = offset &+ index
            target.storeBytes(of: pendingByte(pending, at: position), toByteOffset: index, as: UInt8.self)
        }
    }

    private func pendingByte(_ pending: Span<UInt64>, at position: Int) -> UInt8 {
        guard position >= 0, position < (vectors + 7) / 8, position / 8 < pending.count else { return 0 }
        let byte = UInt8(truncatingIfNeeded: pending[position / 8] >> UInt64(position % 8 * 8))
        let existing = vectors - position * 8
        return existing >= 8 ? byte : byte & (0xff >> UInt8(8 - existing))
    }

    /// Masks every vector and forgets the messages.
    public mutating func reset() {
        for vector in entries.indices { entries[vector] = Self.unused }
    }

    private func vector(at position: Int) -> Int? {
        position >= 0 && position / Self.entrySize < entries.count ? position / Self.entrySize : nil
    }
}

extension MSIXTable.Entry {
    /// The entry as bytes, little-endian: address, data, vector control.
    fileprivate func byte(at index: Int) -> UInt8 {
        switch index {
        case 0..<8: UInt8(truncatingIfNeeded: address >> UInt64(8 * index))
        case 8..<12: UInt8(truncatingIfNeeded: data >> UInt32(8 * (index - 8)))
        case 12: masked ? 1 : 0
        default: 0
        }
    }

    /// Sets a byte as far as it can be written: an address is a multiple of 4, and vector control has one bit.
    fileprivate mutating func set(_ byte: UInt8, at index: Int) {
        switch index {
        case 0..<8:
            let shift = UInt64(8 * index)
            address = (address & ~(0xff << shift) | UInt64(byte) << shift) & ~0b11
        case 8..<12:
            let shift = UInt32(8 * (index - 8))
            data = data & ~(0xff << shift) | UInt32(byte) << shift
        case 12:
            masked = byte & 1 != 0
        default: break
        }
    }
}

extension MSIXTable {
    /// What has to be kept to go on elsewhere. Pending bits belong to whoever raises the interrupts.
    public struct State: Codable, Equatable, Sendable {
        public var entries: [Entry]

        public init(entries: [Entry]) {
            self.entries = entries
        }
    }

    public var state: State { State(entries: entries) }

    /// Goes on from a table of the same size.
    ///
    /// - Throws: when the state can't be this table's, which is unchanged then.
    public mutating func restore(_ state: State) throws(ConfigurationError) {
        guard state.entries.count == entries.count else {
            throw .stateVectors(state.entries.count, expected: entries.count)
        }
        for (vector, entry) in state.entries.enumerated() where entry.address % 4 != 0 {
            throw .stateAddress(entry.address, vector: vector)
        }
        entries = state.entries
    }
}
