import Device
import GuestMemory
import Linux
import PCI

/// What a function in a guest's slot needs of whoever has the guest.
public protocol Guest: AnyObject {
    /// Has accesses sent here from now on.
    func claim(_ claim: RequestServer.Claim) throws(XenError)
    func release(_ claim: RequestServer.Claim) throws(XenError)
    func send(_ message: MSIMessage) throws(XenError)
    func set(_ pin: InterruptPin, ofDevice device: UInt8, asserted: Bool) throws(XenError)
    /// Takes frames of the guest's memory elsewhere.
    func move(_ count: UInt32, framesFrom from: UInt64, to: UInt64) throws(XenError)
}

extension RequestServer: Guest {
    public func send(_ message: MSIMessage) throws(XenError) { try domain.send(message) }

    public func set(_ pin: InterruptPin, ofDevice device: UInt8, asserted: Bool) throws(XenError) {
        try domain.set(pin, ofDevice: device, asserted: asserted)
    }

    public func move(_ count: UInt32, framesFrom from: UInt64, to: UInt64) throws(XenError) {
        try domain.move(count, framesFrom: from, to: to)
    }
}

/// A function in a slot of a guest's bus: it answers the accesses that lead to its configuration space and to where the
/// guest has put its BARs. Where nothing answers, reads give all ones and writes are lost, as on a bus.
public final class PlacedFunction: Transport {
    public let function: Function
    private let address: FunctionAddress
    private let guest: any Guest
    /// Where the values of strings of accesses are.
    private let memory: any RemoteMemory
    /// Where the memory behind a BAR has its frames while the BAR is nowhere; nil when it is none of the guest's.
    private let frames: (MappedBytes) -> UInt64?
    /// By region: 0 to 5, and the expansion ROM.
    private var places = [Place?](repeating: nil, count: RegionIndex.rom + 1)
    /// How many more things that went wrong are reported: a guest can make any number of them happen.
    private var reportsLeft = 16

    private struct Place {
        let space: BARPlacement.Space
        let range: ClosedRange<UInt64>
        /// False while another place has some of its addresses: nothing is there then.
        var isClaimed = false
        /// What of the guest's memory is there, and has a home elsewhere. Numbers of frames.
        var guests: [(count: UInt32, home: UInt64, now: UInt64)] = []

        var claim: RequestServer.Claim { space == .io ? .ports(range) : .memory(range) }
    }

    /// Puts the function into its slot, with the BARs where they are.
    ///
    /// - Parameter frames: where memory behind BARs that is the guest's own has its first frame while its BAR is
    ///   nowhere.
    /// - Throws: ``XenError`` when the slot can't be had.
    public init(
        _ function: Function, at address: FunctionAddress, of guest: any Guest, memory: any RemoteMemory,
        frames: @escaping (MappedBytes) -> UInt64? = { _ in nil }
    ) throws(XenError) {
        self.function = function
        self.address = address
        self.guest = guest
        self.memory = memory
        self.frames = frames
        try guest.claim(.function(address))
        function.transport = self
    }

    // MARK: Accesses

    /// Carries out what a virtual processor asks.
    ///
    /// - Returns: what it gets for a read.
    public func answer(_ access: Request.Access) -> UInt64 {
        switch access.data {
        case .value(var value):
            for index in 0..<access.count {
                if access.isRead {
                    value = read(access, access.address(of: index))
                } else {
                    write(access, access.address(of: index), value)
                }
            }
            return value
        case .memory(let start):
            var hasMemory = true
            for index in 0..<access.count {
                carry(access, access.address(of: index), access.place(of: index, from: start), &hasMemory)
            }
            return 0
        }
    }

    /// One access, whose value is in the guest's memory. Where there is no memory, the guest gets no value, and gives
    /// all ones.
    ///
    /// - Parameter hasMemory: becomes false with the first of a string's values that has none. The others aren't looked
    ///   for: each would be a call of Xen's.
    private func carry(_ access: Request.Access, _ address: UInt64, _ place: UInt64, _ hasMemory: inout Bool) {
        if access.isRead {
            let bytes = Self.bytes(of: read(access, address))
            guard hasMemory else { return }
            do throws(DMAError) {
                try memory.write(place, from: bytes.span.bytes.extracting(0..<access.width))
            } catch { hasMemory = false }
        } else {
            var bytes = InlineArray<8, UInt8>(repeating: 0xff)
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            var target = raw._mutatingExtracting(0..<access.width)
            if hasMemory {
                do throws(DMAError) { try memory.read(place, into: &target) } catch { hasMemory = false }
            }
            write(access, address, hasMemory ? Self.value(of: bytes) : .max)
        }
    }

    private func read(_ access: Request.Access, _ address: UInt64) -> UInt64 {
        guard let (region, offset) = target(access, address) else { return .max }
        var bytes = InlineArray<8, UInt8>(repeating: 0)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        var target = raw._mutatingExtracting(0..<access.width)
        do throws(AccessError) { try function.read(region: region, offset: offset, into: &target) } catch {
            return .max
        }
        return Self.value(of: bytes)
    }

    /// A write that the function refuses is lost, as on a bus.
    private func write(_ access: Request.Access, _ address: UInt64, _ value: UInt64) {
        guard let (region, offset) = target(access, address) else { return }
        let bytes = Self.bytes(of: value)
        try? function.write(region: region, offset: offset, from: bytes.span.bytes.extracting(0..<access.width))
    }

    private static func bytes(of value: UInt64) -> InlineArray<8, UInt8> {
        InlineArray { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }

    private static func value(of bytes: InlineArray<8, UInt8>) -> UInt64 {
        bytes.indices.reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
    }

    /// The region that an address leads to, and the offset in it.
    private func target(_ access: Request.Access, _ address: UInt64) -> (region: Int, offset: UInt64)? {
        let space: BARPlacement.Space
        switch access.space {
        case .configuration(let number):
            return number == UInt32(self.address.routingID) ? (RegionIndex.configuration, address) : nil
        case .ports: space = .io
        case .memory: space = .memory
        }
        for (region, place) in places.enumerated() {
            if let place, place.isClaimed, place.space == space, place.range.contains(address),
                UInt64(access.width - 1) <= place.range.upperBound - address
            {
                return (region, address - place.range.lowerBound)
            }
        }
        return nil
    }

    // MARK: Transport

    public var messageRouting: MessageRouting { .byAddress }

    public func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool {
        guard let message else { return false }
        attempt { () throws(XenError) in try guest.send(message) }
        // A message that the guest's interrupt controller doesn't take is lost, as on a bus.
        return true
    }

    public func setINTx(_ asserted: Bool) {
        guard let pin = function.device.interruptPin else { return }
        // Xen knows the pins of bus 0 alone.
        guard address.bus == 0 else { return }
        attempt { () throws(XenError) in try guest.set(pin, ofDevice: address.device, asserted: asserted) }
    }

    public func place(_ region: Int, at placement: BARPlacement?) {
        if let place = places[region] {
            if place.isClaimed { attempt { () throws(XenError) in try guest.release(place.claim) } }
            for part in place.guests {
                attempt { () throws(XenError) in try guest.move(part.count, framesFrom: part.now, to: part.home) }
            }
        }
        places[region] = nil
        if let placement, let parts = function.region(region), parts.size > 0 {
            places[region] = Place(
                space: placement.space, range: placement.address...placement.address + (parts.size - 1))
        }
        claimPlaces()
    }

    /// Takes what is mapped of a BAR to where that is now. Xen sends no request for an address that has memory.
    private func move(_ region: Int, to place: Place) -> [(count: UInt32, home: UInt64, now: UInt64)] {
        guard place.space == .memory, let region = function.region(region), region.isWritable,
            let memory = region.memory, let first = frames(memory)
        else { return [] }
        let (address, size) = (place.range.lowerBound, UInt64(Domain.frameSize))
        var moved: [(count: UInt32, home: UInt64, now: UInt64)] = []
        for part in region.mapped {
            let count = UInt32(clamping: (part.upperBound - part.lowerBound) / size)
            let (home, now) = (first + part.lowerBound / size, (address + part.lowerBound) / size)
            attempt { () throws(XenError) in
                try guest.move(count, framesFrom: home, to: now)
                moved.append((count, home, now))
            }
        }
        return moved
    }

    /// Claims what isn't yet: a place that overlaps another one comes to its own when that has moved.
    private func claimPlaces() {
        for (region, place) in places.enumerated() {
            guard let place, !place.isClaimed else { continue }
            do throws(XenError) {
                try guest.claim(place.claim)
                places[region]?.isClaimed = true
                places[region]?.guests = move(region, to: place)
            } catch {
                if error.errno != .fileExists { report(error) }
            }
        }
    }

    /// Has something done that Xen may refuse: the guest goes on without.
    private func attempt(_ step: () throws(XenError) -> Void) {
        do throws(XenError) { try step() } catch { report(error) }
    }

    private func report(_ error: XenError) {
        guard reportsLeft > 0 else { return }
        reportsLeft -= 1
        function.host.report(error.description)
    }
}
