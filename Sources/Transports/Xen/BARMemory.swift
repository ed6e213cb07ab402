import CXen
import Device
import Linux

/// Memory behind BARs that is the guest's own, and mapped here: where the guest puts such a BAR, its pages are there,
/// and no access traps.
///
/// It is populated while a device is made, and before anything is restricted. Until a BAR shows it, it lies where no
/// guest looks. What the domain may not have, and what a guest may not write to, is memory of this process's, whose BAR
/// is answered by trap. So is what no BAR shows: that is no guest's.
public final class BARMemory {
    /// Why the domain has not got all of it.
    public private(set) var refusal: XenError?
    /// Nil once it is sealed.
    private var domain: Domain?
    /// Where the next piece comes.
    private var next: UInt64
    /// What there is, and where its first frame lies as long as no BAR shows it.
    private var pieces: [(bytes: MappedBytes, first: UInt64)] = []

    /// Far above what guests and their firmware use, and yet what every processor can address.
    private static let start: UInt64 = 1 << (38 - 12)
    /// Pieces of several processes come at multiples of this, in frames.
    private static let alignment: UInt64 = 1 << (30 - 12)

    /// - Throws: as `Domain.init(_:)` does.
    public init(of number: UInt16) throws(XenError) {
        let domain = try Domain(unrestricted: number)
        let last = cxen_last_frame(domain.privcmd.raw, number)
        guard last >= 0 else { throw XenError("the last frame of domain \(number)", Errno(rawValue: Int32(-last))) }
        next = max(Self.start, (UInt64(last) / Self.alignment + 1) * Self.alignment)
        self.domain = domain
    }

    /// What a function's host is to have as its device memory.
    public var deviceMemory: DeviceMemory {
        DeviceMemory { (name, size, isOwnAlone, isBehindBAR) throws(Errno) in
            try self.make(name, size: size, isOwnAlone: isOwnAlone, isBehindBAR: isBehindBAR)
        }
    }

    private func make(
        _ name: String, size: Int, isOwnAlone: Bool, isBehindBAR: Bool
    ) throws(Errno) -> MappedBytes {
        guard size > 0 else { throw .invalidArgument }
        guard let domain, isBehindBAR, !isOwnAlone else {
            return try MemoryFile(name: name, size: size, isOwnAlone: isOwnAlone)
        }
        do throws(XenError) {
            let (pages, first) = ((size - 1) / Domain.frameSize + 1, next)
            // Whatever becomes of these frames, they aren't asked for again.
            next += UInt64(pages)
            let bytes = MappedBytes(try domain.populate(pages, framesFrom: first))
            pieces.append((bytes, first))
            // Whoever had these pages before may have left something there.
            _ = bytes.clear(at: 0, count: bytes.size)
            return bytes
        } catch {
            refusal = error
            return try MemoryFile(name: name, size: size)
        }
    }

    /// No more is populated from here on, and nothing here can do to a domain what isn't restricted: for when the device
    /// has its memory, before anything of a stranger's is read.
    public func seal() {
        domain = nil
    }

    /// The number of the first frame of what this has made; nil for what lies elsewhere.
    func frames(behind memory: MappedBytes) -> UInt64? {
        pieces.first { $0.bytes === memory }?.first
    }
}

extension Domain {
    /// Gives the guest memory, and maps it.
    fileprivate func populate(_ pages: Int, framesFrom first: UInt64) throws(XenError) -> Mapping {
        let mapping = try Mapping(xen: privcmd, pages: pages)
        try call(
            "\(pages) more frames for domain \(number)", cxen_populate(privcmd.raw, number, first, UInt64(pages)))
        do throws(XenError) {
            try map(pages, framesFrom: first, at: mapping)
        } catch {
            cxen_take_back(privcmd.raw, number, first, UInt64(pages))
            throw error
        }
        return mapping
    }

    private func map(_ pages: Int, framesFrom first: UInt64, at mapping: Mapping) throws(XenError) {
        let frames = (0..<UInt64(pages)).map { first + $0 }
        var errors = [Int32](repeating: 0, count: pages)
        try call(
            "to map \(pages) frames from \(first) on",
            cxen_map_frames(privcmd.raw, number, mapping.base, UInt32(pages), frames, &errors))
        if let error = errors.first(where: { $0 != 0 }) {
            throw XenError("to map a frame that was just made", Errno(rawValue: -error))
        }
    }
}
