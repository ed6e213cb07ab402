import CXen
import Device
import Linux
import PCI

/// Memory behind BARs that is the guest's own, and mapped here: where the guest puts such a BAR, its pages are there,
/// and no access traps.
///
/// It is populated while a device is made, and before anything is restricted. Until a BAR shows it, it lies where no
/// guest looks: each slot has a place for that. What a process before this one has left there, or where a BAR was when
/// it was killed, is used again. What the domain may not have, and what a guest may not write to, is memory of this
/// process's, whose BAR is answered by trap. So is what no BAR shows: that is no guest's.
final class BARMemory: FrameSource {
    /// Why the domain has not got all of it.
    private(set) var refusal: XenError?
    private let access: DomainAccess
    /// Where the next piece comes, and what is behind the last one.
    private var next: UInt64
    private let end: UInt64
    /// What a killed process noted of where frames are.
    private let record: SlotRecord?
    /// Those of its parts that were found.
    private(set) var found: [SlotRecord.Part] = []
    /// What there is, and where its first frame lies as long as no BAR shows it.
    private var pieces: [(bytes: MappedBytes, first: UInt64, writes: BARWrites)] = []

    /// Far above what guests and their firmware use, and yet what every processor can address: for a slot of bus 0.
    private static let start: UInt64 = 1 << (38 - 12)
    /// How much a slot has, in frames: 1 GiB.
    private static let share: UInt64 = 1 << (30 - 12)

    /// - Parameter record: what a killed process noted.
    init(in slot: FunctionAddress, of access: DomainAccess, _ record: SlotRecord?) throws(XenError) {
        self.access = access
        self.record = record
        let homes = Self.homes(of: slot)
        (next, end) = (homes.lowerBound, homes.upperBound)
    }

    /// The frames of a slot while no BAR shows them.
    static func homes(of slot: FunctionAddress) -> Range<UInt64> {
        let first = start + UInt64(slot.routingID) * share
        return first..<first + share
    }

    /// What a function's host is to have as its device memory.
    var deviceMemory: DeviceMemory {
        DeviceMemory { (name, size, isOwnAlone, isBehindBAR) throws(Errno) in
            try self.make(name, size: size, isOwnAlone: isOwnAlone, isBehindBAR: isBehindBAR)
        }
    }

    private func make(
        _ name: String, size: Int, isOwnAlone: Bool, isBehindBAR: Bool
    ) throws(Errno) -> MappedBytes {
        guard size > 0 else { throw .invalidArgument }
        guard let domain = access.unrestricted, isBehindBAR, !isOwnAlone else {
            return try MemoryFile(name: name, size: size, isOwnAlone: isOwnAlone)
        }
        let (pages, first) = (UInt64((size - 1) / Domain.frameSize + 1), next)
        do throws(XenError) {
            guard pages <= end - next else { throw XenError("\(pages) frames for one slot", .noSpace) }
            // Whatever becomes of these frames, they aren't asked for again.
            next += pages
            let mapping =
                record == nil
                ? try domain.mapOrPopulate(Int(pages), framesFrom: first)
                : try find(Int(pages), framesFrom: first, in: domain)
            let writes = BARWrites(of: access.domain, home: first)
            let bytes = MappedBytes(mapping, writes: writes)
            pieces.append((bytes, first, writes))
            // Whoever had these pages before may have left something there; what a killed process had goes on.
            if record == nil { _ = bytes.clear(at: 0, count: bytes.size) }
            return bytes
        } catch {
            // The guest would go on with memory that nobody here has.
            guard record == nil else { throw error.errno }
            refusal = error
            return try MemoryFile(name: name, size: size)
        }
    }

    /// Maps what a killed process had, from where it is now. A frame that the guest has given back is made anew.
    private func find(_ pages: Int, framesFrom first: UInt64, in domain: Domain) throws(XenError) -> Mapping {
        let homes = first..<first + UInt64(pages)
        var frames = Array(homes)
        let parts = (record?.parts ?? []).filter { homes.contains($0.home) && $0.count <= homes.upperBound - $0.home }
        for part in parts {
            for index in 0..<part.count { frames[Int(part.home - first + index)] = part.now + index }
        }
        var (mapping, isThere) = try domain.map(frames)
        found += parts.filter { isThere[Int($0.home - first)] }
        if isThere.allSatisfy(\.self) { return mapping }
        // What was not taken away yet, or is back already.
        for index in frames.indices where !isThere[index] { frames[index] = homes.lowerBound + UInt64(index) }
        (mapping, isThere) = try domain.map(frames)
        for index in frames.indices where !isThere[index] { try domain.populate(1, framesFrom: frames[index]) }
        return try domain.mapAll(frames)
    }

    // MARK: Where it is

    func firstFrame(behind memory: MappedBytes) -> UInt64? {
        pieces.first { $0.bytes === memory }?.first
    }

    func note(_ parts: [SlotRecord.Part]) {
        for piece in pieces { piece.writes.parts = parts }
    }

    /// Has copies in the place of all of it: for when the domain has ended, whose frames are freed when nobody has them
    /// mapped.
    func becomeCopies() throws(Errno) {
        for piece in pieces { try piece.bytes.mapping.becomeCopy() }
    }
}

extension Domain {
    /// Gives the guest memory.
    fileprivate func populate(_ pages: Int, framesFrom first: UInt64) throws(XenError) {
        try call(
            "\(pages) more frames for domain \(number)", cxen_populate(privcmd.raw, number, first, UInt64(pages)))
    }

    /// Maps what is there of so many frames, and gives the guest the rest.
    fileprivate func mapOrPopulate(_ pages: Int, framesFrom first: UInt64) throws(XenError) -> Mapping {
        let frames = (0..<UInt64(pages)).map { first + $0 }
        // Nearly always there is nothing.
        let isFirstThere = try map([first]).isThere[0]
        let isThere = isFirstThere ? try map(frames).isThere : Array(repeating: false, count: pages)
        if !isFirstThere {
            try populate(pages, framesFrom: first)
        } else {
            for index in frames.indices where !isThere[index] { try populate(1, framesFrom: frames[index]) }
        }
        do throws(XenError) {
            return try mapAll(frames)
        } catch {
            cxen_take_back(privcmd.raw, number, first, UInt64(pages))
            throw error
        }
    }

    fileprivate func mapAll(_ frames: [UInt64]) throws(XenError) -> Mapping {
        let (mapping, isThere) = try map(frames)
        guard isThere.allSatisfy(\.self) else { throw XenError("to map frames that were just made", .badAddress) }
        return mapping
    }

    /// Maps frames side by side, as many of them as there are.
    fileprivate func map(_ frames: [UInt64]) throws(XenError) -> (mapping: Mapping, isThere: [Bool]) {
        let mapping = try Mapping(xen: privcmd, pages: frames.count)
        var errors = [Int32](repeating: 0, count: frames.count)
        try call(
            "to map \(frames.count) frames from \(frames[0]) on",
            cxen_map_frames(privcmd.raw, number, mapping.base, UInt32(frames.count), frames, &errors))
        return (mapping, errors.map { $0 == 0 })
    }
}
