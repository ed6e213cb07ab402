import Device
import Linux
import PCI

/// Whoever has memory behind BARs that is the guest's own.
public protocol FrameSource: AnyObject {
    /// Where it has its first frame while its BAR is nowhere; nil when it is none of the guest's.
    func firstFrame(behind memory: MappedBytes) -> UInt64?
    /// Where frames are now that aren't at home.
    func note(_ parts: [SlotRecord.Part])
}

/// Where the guest has a function's BARs and its expansion ROM: Xen is told of each place, and the frames behind it are
/// there.
struct Places {
    /// What couldn't be done: the guest goes on without.
    var onError: (XenError) -> Void = { _ in }
    private let function: Function
    private let router: any AccessRouter
    private let guest: any Guest
    private let frames: (any FrameSource)?
    /// By region: 0 to 5, and the expansion ROM.
    private var places = [Place?](repeating: nil, count: RegionIndex.rom + 1)
    /// Frames that a process before this one had taken somewhere, for which there is no BAR.
    private var strays: [SlotRecord.Part] = []
    /// The places that a process before this one had, and may have claimed.
    private var inherited: Set<RequestServer.Claim> = []

    private struct Place {
        let space: BARPlacement.Space
        let range: ClosedRange<UInt64>
        /// False while another place has some of its addresses: nothing is there then.
        var isClaimed = false
        /// What of the guest's memory is there, and has a home elsewhere.
        var parts: [SlotRecord.Part] = []

        var claim: RequestServer.Claim { space == .io ? .ports(range) : .memory(range) }
    }

    /// - Parameter record: what a process before this one has left.
    init(
        of function: Function, router: any AccessRouter, guest: any Guest, frames: (any FrameSource)?,
        _ record: SlotRecord?
    ) {
        self.function = function
        self.router = router
        self.guest = guest
        self.frames = frames
        guard let record else { return }
        strays = record.parts
        for noted in record.places {
            var place = Place(space: noted.isPorts ? .io : .memory, range: noted.range, isClaimed: true)
            inherited.insert(place.claim)
            if !noted.isPorts { place.parts = takeStrays(in: noted.range) }
            places[noted.region] = place
        }
    }

    private mutating func takeStrays(in range: ClosedRange<UInt64>) -> [SlotRecord.Part] {
        let size = UInt64(Domain.frameSize)
        let frames = range.lowerBound / size...range.upperBound / size
        defer { strays.removeAll { frames.contains($0.now) } }
        return strays.filter { frames.contains($0.now) }
    }

    /// Where the BARs are, as far as it is known.
    var known: [BARPlacement?] { places.map { $0.map { BARPlacement($0.space, at: $0.range.lowerBound) } } }

    /// What was left and is where it is to be stays there, all the rest goes. What is missing comes: the process before
    /// this one may have been killed at any time.
    mutating func settle() {
        for part in strays { attempt { () throws(XenError) in try moveHome(part) } }
        strays = []
        for region in places.indices {
            guard let place = places[region], inherited.contains(place.claim) else { continue }
            guard UInt64(place.range.count) == function.region(region)?.size else {
                let placement = known[region]
                self.place(region, at: nil)
                self.place(region, at: placement)
                continue
            }
            do throws(XenError) { try router.claim(place.claim) } catch {
                if error.errno != .fileExists { onError(error) }
            }
            let missing = parts(of: region, at: place).filter { !place.parts.contains($0) }
            places[region]?.parts += missing
            note()
            for part in missing { bring(part, of: region) }
        }
        inherited = []
        note()
    }

    /// The region that has an address, and where in it that is.
    func target(_ space: BARPlacement.Space, _ address: UInt64, width: Int) -> (region: Int, offset: UInt64)? {
        for (region, place) in places.enumerated() {
            if let place, place.isClaimed, place.space == space, place.range.contains(address),
                UInt64(width - 1) <= place.range.upperBound - address
            {
                return (region, address - place.range.lowerBound)
            }
        }
        return nil
    }

    // MARK: Moving

    /// - Parameter placement: nil: nowhere.
    mutating func place(_ region: Int, at placement: BARPlacement?) {
        if let place = places[region] {
            if place.isClaimed {
                do throws(XenError) { try router.release(place.claim) } catch {
                    // It may not have come to that before.
                    if !inherited.contains(place.claim) || error.errno != .noSuchFileOrDirectory { onError(error) }
                }
            }
            for part in place.parts { attempt { () throws(XenError) in try moveHome(part) } }
            places[region] = nil
        }
        if let placement, let size = function.region(region)?.size, let range = Self.range(placement.address, size) {
            places[region] = Place(space: placement.space, range: range)
        }
        claimAll()
        note()
    }

    /// Nil where no processor can have the addresses, as while the guest sizes a BAR of 64 bits: some up there are
    /// marks of servers.
    private static func range(_ address: UInt64, _ size: UInt64) -> ClosedRange<UInt64>? {
        let end = SlotRecord.addressSpace
        guard size > 0, size <= end, address <= end - size else { return nil }
        return address...address + (size - 1)
    }

    /// Claims what isn't yet: a place that overlaps another one comes to its own when that has moved.
    private mutating func claimAll() {
        for (region, place) in places.enumerated() {
            guard let place, !place.isClaimed else { continue }
            let parts = parts(of: region, at: place)
            places[region]?.isClaimed = true
            places[region]?.parts = parts
            note()
            do throws(XenError) {
                try router.claim(place.claim)
                for part in parts { bring(part, of: region) }
            } catch {
                places[region] = place
                if error.errno != .fileExists { onError(error) }
            }
        }
    }

    /// What is mapped of a BAR, and where it is to be. Xen sends no request for an address that has memory.
    private func parts(of index: Int, at place: Place) -> [SlotRecord.Part] {
        guard place.space == .memory, let region = function.region(index), region.isWritable,
            let memory = region.memory, let first = frames?.firstFrame(behind: memory)
        else { return [] }
        let size = UInt64(Domain.frameSize)
        return region.mapped.map { part in
            SlotRecord.Part(
                home: first + part.lowerBound / size, count: (part.upperBound - part.lowerBound) / size,
                now: (place.range.lowerBound + part.lowerBound) / size)
        }
    }

    private mutating func bring(_ part: SlotRecord.Part, of region: Int) {
        do throws(XenError) {
            try guest.move(UInt32(clamping: part.count), framesFrom: part.home, to: part.now)
        } catch {
            places[region]?.parts.removeAll { $0 == part }
            onError(error)
        }
    }

    private func moveHome(_ part: SlotRecord.Part) throws(XenError) {
        try guest.move(UInt32(clamping: part.count), framesFrom: part.now, to: part.home)
    }

    /// Has something done that Xen may refuse.
    private func attempt(_ step: () throws(XenError) -> Void) {
        do throws(XenError) { try step() } catch { onError(error) }
    }

    /// Leaves word of what is, and of what is about to be.
    private func note() {
        var record = SlotRecord()
        for (region, place) in places.enumerated() {
            guard let place, place.isClaimed else { continue }
            record.places.append(.init(region: region, isPorts: place.space == .io, range: place.range))
            record.parts += place.parts
        }
        record.parts += strays
        router.note(record)
        frames?.note(record.parts)
    }
}
