import Linux

extension Record {
    typealias Header = InlineArray<56, UInt8>

    // MARK: Encoding

    /// The record as it goes into a ring and into a file. Of a name only the first ``maximumNameLength`` bytes are
    /// kept, of the bytes the first ``maximumBytes``.
    public func encoded() -> [UInt8] {
        let bytes = bytes.prefix(Self.maximumBytes)
        var whole: [UInt8] = []
        whole.reserveCapacity(Self.headerSize + nameLength + bytes.count)
        let header = header(byteCount: bytes.count)
        for index in header.indices { whole.append(header[index]) }
        whole += name.utf8.prefix(nameLength)
        whole += bytes
        return whole
    }

    /// How many bytes of the name are kept: whole characters.
    var nameLength: Int {
        let name = name.utf8
        guard name.count > Self.maximumNameLength else { return name.count }
        var length = Self.maximumNameLength
        var index = name.index(name.startIndex, offsetBy: length)
        // A byte 0b10…… goes on with the character before.
        while length > 0, name[index] & 0xc0 == 0x80 {
            index = name.index(before: index)
            length -= 1
        }
        return length
    }

    /// What stands before the name and `byteCount` bytes.
    func header(byteCount: Int) -> Header {
        var header = Header(repeating: 0)
        var span = header.mutableSpan
        var raw = span.mutableBytes
        let length = Self.headerSize + nameLength + byteCount
        raw.storeBytes(of: UInt32(length).littleEndian, toByteOffset: 0, as: UInt32.self)
        raw.storeBytes(of: kind.rawValue, toByteOffset: 4, as: UInt8.self)
        raw.storeBytes(of: way?.rawValue ?? 0, toByteOffset: 5, as: UInt8.self)
        raw.storeBytes(of: region, toByteOffset: 6, as: UInt8.self)
        raw.storeBytes(of: UInt8(nameLength), toByteOffset: 7, as: UInt8.self)
        raw.storeBytes(of: number.littleEndian, toByteOffset: 8, as: UInt64.self)
        raw.storeBytes(of: time.littleEndian, toByteOffset: 16, as: UInt64.self)
        raw.storeBytes(of: offset.littleEndian, toByteOffset: 24, as: UInt64.self)
        raw.storeBytes(of: count.littleEndian, toByteOffset: 32, as: UInt64.self)
        raw.storeBytes(of: value.littleEndian, toByteOffset: 40, as: UInt64.self)
        raw.storeBytes(of: (latency ?? 0).littleEndian, toByteOffset: 48, as: UInt32.self)
        let part = partOffset & Self.maximumPartOffset | (hasMoreParts ? 1 << 31 : 0)
        raw.storeBytes(of: part.littleEndian, toByteOffset: 52, as: UInt32.self)
        return header
    }

    // MARK: Decoding

    /// The length of the record that begins here, in bytes.
    ///
    /// - Throws: when there are fewer than four bytes, or no record has that length.
    public static func length(ofFirstIn bytes: RawSpan) throws(RecordError) -> Int {
        guard bytes.byteCount >= 4 else {
            throw RecordError(description: "A record's length has 4 bytes, and there are only \(bytes.byteCount).")
        }
        let length = UInt32(littleEndian: bytes.unsafeLoadUnaligned(as: UInt32.self))
        guard length >= headerSize, length <= maximumLength else {
            throw RecordError(
                description: "A record is \(headerSize) to \(maximumLength) bytes long, and this one says \(length).")
        }
        return Int(length)
    }

    /// - Parameter bytes: these of one record, and no others.
    /// - Throws: when they aren't: the length, the name, or the place of the part doesn't fit.
    public init(decoding bytes: RawSpan) throws(RecordError) {
        let length = try Self.length(ofFirstIn: bytes)
        guard length == bytes.byteCount else {
            throw RecordError(description: "A record says that it is \(length) bytes long, not \(bytes.byteCount).")
        }
        func byte(_ place: Int) -> UInt8 { bytes.unsafeLoadUnaligned(fromByteOffset: place, as: UInt8.self) }
        func word(_ place: Int) -> UInt32 {
            UInt32(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: place, as: UInt32.self))
        }
        func long(_ place: Int) -> UInt64 {
            UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: place, as: UInt64.self))
        }
        self.init(Kind(rawValue: byte(4)))
        way = Way(rawValue: byte(5))
        region = byte(6)
        (number, time, offset) = (long(8), long(16), long(24))
        (count, value) = (long(32), long(40))
        latency = word(48) == 0 ? nil : word(48)
        partOffset = word(52) & Self.maximumPartOffset
        hasMoreParts = word(52) >> 31 != 0
        let nameEnd = Self.headerSize + Int(byte(7))
        guard nameEnd <= length, length - nameEnd <= Self.maximumBytes else {
            throw RecordError(
                description: "A record of \(length) bytes can't have a name of \(byte(7)) bytes.")
        }
        let nameBytes = (Self.headerSize..<nameEnd).map(byte)
        guard let name = String(validating: nameBytes, as: UTF8.self) else {
            throw RecordError(description: "A record's name isn't UTF-8.")
        }
        self.name = name
        self.bytes = []
        self.bytes.append(bytes.extracting(nameEnd..<length))
    }
}
