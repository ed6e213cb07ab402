import Device
import GuestMemory
import Linux
import PCI

/// A function in a slot of a guest's bus: it answers the accesses that lead to its configuration space and to where the
/// guest has put its BARs. Where nothing answers, reads give all ones and writes are lost, as on a bus.
public final class PlacedFunction: Transport {
    public let function: Function
    let address: FunctionAddress
    private let guest: any Guest
    /// Where the values of strings of accesses are.
    private let memory: any RemoteMemory
    // One thread, and nothing calls back while one of these is accessed: checks at run time would find nothing.
    @exclusivity(unchecked) var places: Places
    /// The ports at which processors choose a register of configuration space: 0xcf8 to 0xcfb. Nil while somebody else
    /// answers there.
    @exclusivity(unchecked) public var addressPort: AddressPort?
    /// While a string of accesses is carried out: where BARs go at its end. A string of 4,096 would move one as often.
    @exclusivity(unchecked) private var moving: [(region: Int, placement: BARPlacement?)]?
    /// How many more things that went wrong are reported: a guest can make any number of them happen.
    private var reportsLeft = 16

    /// Puts the function into its slot, with the BARs where they are.
    ///
    /// - Parameters:
    ///   - frames: has memory behind BARs that is the guest's own.
    ///   - record: where a process before this one had the BARs; what it had is gone on with.
    /// - Throws: ``XenError`` when the slot can't be had.
    public init(
        _ function: Function, at address: FunctionAddress, router: any AccessRouter, guest: any Guest,
        memory: any RemoteMemory, frames: (any FrameSource)? = nil, goingOnFrom record: SlotRecord? = nil
    ) throws(XenError) {
        self.function = function
        self.address = address
        self.guest = guest
        self.memory = memory
        places = Places(of: function, router: router, guest: guest, frames: frames, record)
        do throws(XenError) { try router.claim(.function(address)) } catch {
            guard record != nil, error.errno == .fileExists else { throw error }
        }
        places.onError = { [unowned self] in report($0) }
        // Whatever the level is, it isn't known here.
        if record != nil { setINTx(false) }
        function.attach(self, knowing: places.known)
        places.settle()
    }

    /// Leaves the guest, with the frames behind BARs where no guest looks.
    func leave() {
        setINTx(false)
        for region in 0...RegionIndex.rom { places.place(region, at: nil) }
    }

    // MARK: Accesses

    /// Carries out what a virtual processor asks.
    ///
    /// - Returns: what it gets for a read.
    public func answer(_ access: Request.Access) -> UInt64 {
        if access.count > 1 { moving = [] }
        defer { settle() }
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
        guard let (region, offset) = target(access, address) else {
            guard access.space == .ports else { return .max }
            return addressPort?.read(address, width: access.width) ?? .max
        }
        var bytes = InlineArray<8, UInt8>(repeating: 0)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        var target = raw._mutatingExtracting(0..<access.width)
        do throws(AccessError) {
            try function.read(region: region, offset: offset, into: &target, by: .request)
        } catch {
            return .max
        }
        return Self.value(of: bytes)
    }

    /// A write that the function refuses is lost, as on a bus.
    private func write(_ access: Request.Access, _ address: UInt64, _ value: UInt64) {
        guard let (region, offset) = target(access, address) else {
            if access.space == .ports { addressPort?.write(address, width: access.width, value) }
            return
        }
        let bytes = Self.bytes(of: value)
        try? function.write(
            region: region, offset: offset, from: bytes.span.bytes.extracting(0..<access.width), by: .request)
    }

    private static func bytes(of value: UInt64) -> InlineArray<8, UInt8> {
        InlineArray { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }

    private static func value(of bytes: InlineArray<8, UInt8>) -> UInt64 {
        bytes.indices.reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
    }

    /// The region that an address leads to, and the offset in it.
    private func target(_ access: Request.Access, _ address: UInt64) -> (region: Int, offset: UInt64)? {
        switch access.space {
        case .configuration(let number):
            number == UInt32(self.address.routingID) ? (RegionIndex.configuration, address) : nil
        case .ports: places.target(.io, address, width: access.width)
        case .memory: places.target(.memory, address, width: access.width)
        }
    }

    // MARK: Transport

    public var messageRouting: MessageRouting { .byAddress }

    public func send(_ kind: InterruptKind, vector: Int, _ message: MSIMessage?) -> Bool {
        guard let message else { return false }
        do throws(XenError) { try guest.send(message) } catch { report(error) }
        // A message that the guest's interrupt controller doesn't take is lost, as on a bus.
        return true
    }

    public func setINTx(_ asserted: Bool) {
        guard let pin = function.device.interruptPin else { return }
        // Xen knows the pins of bus 0 alone.
        guard address.bus == 0 else { return }
        do throws(XenError) {
            try guest.set(pin, ofDevice: address.device, asserted: asserted)
        } catch { report(error) }
    }

    public func place(_ region: Int, at placement: BARPlacement?) {
        if moving == nil { return places.place(region, at: placement) }
        moving?.removeAll { $0.region == region }
        moving?.append((region, placement))
    }

    /// What a string has moved goes where it is to be. Whatever leaves does so before what comes to its place.
    private func settle() {
        guard let moved = moving else { return }
        moving = nil
        for (region, _) in moved { places.place(region, at: nil) }
        for case (let region, let placement?) in moved { places.place(region, at: placement) }
    }

    private func report(_ error: XenError) {
        guard reportsLeft > 0 else { return }
        reportsLeft -= 1
        function.host.report(error.description)
    }
}
