/// The numbers of pcapng files whose packets are records. draft-ietf-opsawg-pcapng; Wireshark's epan/exported_pdu.h
enum PacketFile {
    /// What each block begins with, in the byte order of its section.
    enum Block {
        static let section: UInt32 = 0x0a0d_0d0a
        static let interface: UInt32 = 1
        static let packet: UInt32 = 6
    }

    /// What tells the byte order of a section.
    static let magic: UInt32 = 0x1a2b_3c4d
    static let majorVersion: UInt16 = 1
    static let minorVersion: UInt16 = 0
    /// LINKTYPE_WIRESHARK_UPPER_PDU: each packet names its dissector, so that nobody has to choose one.
    static let linkType: UInt16 = 252

    enum Option {
        static let end: UInt16 = 0
        /// The program that made the section. `shb_userappl`
        static let application: UInt16 = 4
        /// `if_tsresol`: a power of ten, negated.
        static let resolution: UInt16 = 9
    }

    /// Nanoseconds.
    static let resolution: UInt8 = 9

    /// Whoever takes the packets apart.
    static let dissector = "vfio_user"

    /// What stands before a record in its packet. All numbers of it are big-endian.
    enum Tag {
        static let end: UInt16 = 0
        /// EXP_PDU_TAG_DISSECTOR_NAME
        static let dissector: UInt16 = 12
    }

    /// The bytes of a packet block but for the packet: type, length, interface, time, two lengths; and the length
    /// again.
    static let packetOverhead = 28 + 4

    /// The next multiple of four: where blocks, options and tags begin.
    static func padded(_ count: Int) -> Int { (count + 3) & ~3 }
}

extension [UInt8] {
    mutating func appendLittle(_ number: some FixedWidthInteger & UnsignedInteger) {
        for shift in stride(from: 0, to: number.bitWidth, by: 8) { append(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    mutating func appendBig(_ number: some FixedWidthInteger & UnsignedInteger) {
        for shift in stride(from: number.bitWidth - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: number >> shift))
        }
    }

    mutating func pad() {
        while count % 4 != 0 { append(0) }
    }
}
