/// An entry of a descriptor table, or of a packed ring, as it lies in guest memory; little-endian as this machine is.
/// `virtq_desc` (VIRTIO 1.2, section 2.7.5) and `pvirtq_desc` (section 2.8.13) differ in the order of the last two
/// fields.
struct Descriptor: BitwiseCopyable, Codable, Equatable, Sendable {
    var address: UInt64
    /// In bytes.
    var length: UInt32
    private var first: UInt16
    private var second: UInt16

    static let size = 16

    /// How the last two fields are to be read.
    enum Format: Sendable {
        case split
        case packed
    }

    func flags(_ format: Format) -> Flags { Flags(rawValue: format == .split ? first : second) }

    /// The number of the descriptor that follows. In a split ring's table.
    var next: UInt16 { second }

    /// The buffer's ID. In a packed ring.
    var id: UInt16 { first }

    struct Flags: OptionSet {
        let rawValue: UInt16

        /// `VIRTQ_DESC_F_NEXT`
        static let next = Flags(rawValue: 1)
        /// `VIRTQ_DESC_F_WRITE`: the device writes to it, and doesn't read.
        static let write = Flags(rawValue: 2)
        /// `VIRTQ_DESC_F_INDIRECT`: it contains a table of descriptors.
        static let indirect = Flags(rawValue: 4)
        /// `VIRTQ_DESC_F_AVAIL`, in a packed ring.
        static let available = Flags(rawValue: 1 << 7)
        /// `VIRTQ_DESC_F_USED`, in a packed ring.
        static let used = Flags(rawValue: 1 << 15)
    }
}
