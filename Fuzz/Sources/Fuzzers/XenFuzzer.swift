import CXen
import DeviceCatalog
import FuzzSupport
import GuestMemory
import Linux
import PCI

@testable import Xen

/// What a Xen domain's processors ask: requests and entries of the ring of any bytes, and such that lead somewhere.
final class XenFuzzer: FuzzTarget {
    enum Feature: Hashable, CaseIterable {
        case impossible, configuration, register, port, memory, string, indirect, moved, overlap, buffered, refused
    }

    private static let slot = FunctionAddress(bus: 0, device: 5)!

    private let device: FuzzedFunction
    private let hypervisor = Hypervisor()
    private let values: Values
    private let placed: PlacedFunction
    private let ring: UnsafeMutablePointer<cxen_ring>
    private(set) var reach = Reach(Feature.allCases)

    init() throws {
        let device = try FuzzedFunction { try DeviceCatalog.make("exerciser", options: [], host: $0) }
        self.device = device
        hypervisor.memory = device.function.region(2)?.memory
        values = Values(device.ram.file)
        placed = try PlacedFunction(
            device.function, at: Self.slot, router: hypervisor, guest: hypervisor, memory: values, frames: hypervisor)
        placed.addressPort = AddressPort()
        // SAFETY: it is this object's, and lives as long as the program.
        ring = .allocate(capacity: 1)
        ring.initialize(to: cxen_ring())
    }

    func run(_ input: inout Input) throws {
        hypervisor.refuses = false
        hypervisor.hasRefused = false
        try device.begin(input)
        while !input.isEmpty {
            switch input.byte() % 8 {
            case 0: ask(anything(&input))
            case 1: takeRing(&input)
            case 2: hypervisor.refuses.toggle()
            default: ask(something(&input))
            }
            if hypervisor.hasRefused { reach.note(.refused) }
        }
        hypervisor.refuses = false
        device.function.reset()
        // Without a refusal all that was is undone.
        hypervisor.require(isEmpty: !hypervisor.hasRefused)
    }

    /// Any bytes, but no long strings: each access takes time.
    private func anything(_ input: inout Input) -> cxen_request {
        cxen_request(
            address: input.number(bytes: 8), data: input.number(bytes: 8), count: UInt32(input.number(bytes: 1)),
            size: UInt32(input.number(bytes: 1)), port: 0, unused: 0, flags: input.byte(), type: input.byte() % 9)
    }

    private func something(_ input: inout Input) -> cxen_request {
        let (type, addresses): (Int, [UInt64]) =
            switch input.byte() % 4 {
            case 0, 1:
                (
                    cxen_type_configuration,
                    [0x04, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x30, 0x3c, 0xffc].map { 0x28 << 32 | $0 }
                )
            case 2: (cxen_type_memory, Self.places + hypervisor.starts(ofPorts: false))
            default: (cxen_type_port, [0xcf8, 0xcfc, 0xc000] + hypervisor.starts(ofPorts: true))
            }
        let values = [7, 0, 0xffff_ffff, 0xc001] + Self.places
        let flags = input.byte()
        let offset = UInt64(input.byte() % 32)
        return cxen_request(
            address: input.pick(addresses) &+ (type == cxen_type_configuration ? 0 : offset),
            data: input.pick(flags & 0x10 != 0 ? [0, 0x1000, 0x3ff0, 0x4000] : values),
            count: flags & 1 == 0 ? 1 : UInt32(input.byte() % 16), size: input.pick([4, 4, 4, 1, 2, 8]), port: 0,
            unused: 0, flags: flags & 0x70, type: UInt8(type))
    }

    private static let places: [UInt64] = [0xe000_0000, 0xe000_1000, 0xe010_0000, 0xa_0000, 0x1000]

    private func ask(_ raw: cxen_request) {
        let request: Request
        do throws(Request.Problem) { request = try Request(raw) } catch { return reach.note(.impossible) }
        guard case .access(let access) = request else { return }
        if access.count > 1 { reach.note(.string) }
        if case .memory = access.data { reach.note(.indirect) }
        let before = hypervisor.moves
        _ = placed.answer(access)
        if hypervisor.moves != before { reach.note(.moved) }
        if hypervisor.hasOverlap { reach.note(.overlap) }
        switch access.space {
        case .configuration: reach.note(.configuration)
        case .ports: reach.note(.port)
        case .memory: reach.note(hypervisor.claims.isEmpty ? .memory : .register)
        }
        hypervisor.require(isEmpty: false)
    }

    private func takeRing(_ input: inout Input) {
        let taken = UInt32(truncatingIfNeeded: input.number(bytes: 2) &* 0x1_0001)
        ring.pointee.pointers = UInt64(taken) | UInt64(taken &+ UInt32(input.pick([0, 1, 2, 3, 511, 512, 255]))) << 32
        let words = UnsafeMutableRawPointer(ring).assumingMemoryBound(to: UInt64.self)
        for index in 0..<4 { words[1 + Int(taken &+ UInt32(index)) % 511] = input.number(bytes: 8) }
        var raw = cxen_request()
        var count = 0
        while cxen_take_buffered(ring, &raw) {
            count += 1
            guard count < 512 else { fuzzFailed("The ring has more than it holds.") }
            reach.note(.buffered)
            if count < 4 { ask(raw) }
        }
        guard UInt32(truncatingIfNeeded: ring.pointee.pointers) == UInt32(ring.pointee.pointers >> 32) else {
            fuzzFailed("Something is left in the ring.")
        }
    }
}

/// The guest's memory by way of copies, as under Xen.
private final class Values: RemoteMemory {
    private let file: MemoryFile

    init(_ file: MemoryFile) { self.file = file }

    func read(_ address: UInt64, into target: inout MutableRawSpan) throws(DMAError) {
        guard let offset = Int(exactly: address), file.copy(at: offset, count: target.byteCount, into: &target) else {
            throw .fault(address: address)
        }
    }

    func write(_ address: UInt64, from bytes: RawSpan) throws(DMAError) {
        guard let offset = Int(exactly: address), file.replace(at: offset, with: bytes) else {
            throw .fault(address: address)
        }
    }
}

/// Plays Xen's part: it claims, moves frames, and refuses at will. What it is told must agree with what is.
private final class Hypervisor: AccessRouter, Guest, FrameSource {
    var refuses = false
    var hasRefused = false
    var hasOverlap = false
    var moves = 0
    var memory: MappedBytes?
    private(set) var claims: [RequestServer.Claim] = []
    private var record = SlotRecord()
    private var away: [SlotRecord.Part] = []
    private static let home: UInt64 = 0x4000

    func starts(ofPorts: Bool) -> [UInt64] {
        claims.compactMap { claim in
            switch claim {
            case .ports(let range): ofPorts ? range.lowerBound : nil
            case .memory(let range): ofPorts ? nil : range.lowerBound
            case .function: nil
            }
        }
    }

    private func mayRefuse() throws(XenError) {
        guard refuses else { return }
        hasRefused = true
        throw XenError("anything", .noSpace)
    }

    func claim(_ claim: RequestServer.Claim) throws(XenError) {
        if case .function = claim { return }
        try mayRefuse()
        hasOverlap = claims.contains { $0.overlaps(claim) }
        if hasOverlap { throw XenError("\(claim)", .fileExists) }
        claims.append(claim)
    }

    func release(_ claim: RequestServer.Claim) throws(XenError) {
        guard let index = claims.firstIndex(of: claim) else { fuzzFailed("\(claim) was not claimed.") }
        // Xen refuses no release of what is there; where it did, the claim would stay for ever.
        claims.remove(at: index)
    }

    func move(_ count: UInt32, framesFrom from: UInt64, to: UInt64) throws(XenError) {
        let isLeaving = (Self.home..<Self.home + 0x1000).contains(from)
        if isLeaving { try mayRefuse() }
        moves += 1
        if isLeaving {
            guard !away.contains(where: { $0.home == from }) else { fuzzFailed("Frames are taken away twice.") }
            away.append(.init(home: from, count: UInt64(count), now: to))
        } else {
            guard let index = away.firstIndex(of: .init(home: to, count: UInt64(count), now: from)) else {
                fuzzFailed("Frames come from where they are not.")
            }
            away.remove(at: index)
        }
    }

    func note(_ record: SlotRecord) { self.record = record }
    func note(_ parts: [SlotRecord.Part]) {}
    func firstFrame(behind memory: MappedBytes) -> UInt64? { memory === self.memory ? Self.home : nil }
    func send(_ message: MSIMessage) throws(XenError) { try mayRefuse() }
    func set(_ pin: InterruptPin, ofDevice device: UInt8, asserted: Bool) throws(XenError) { try mayRefuse() }

    /// What a killed process would leave says what is.
    func require(isEmpty: Bool) {
        let noted = Set(record.places.map { $0.isPorts ? RequestServer.Claim.ports($0.range) : .memory($0.range) })
        guard noted == Set(claims), record.places.count == claims.count else {
            fuzzFailed("\(record.places) is noted, but \(claims) is claimed.")
        }
        guard record.parts.allSatisfy(away.contains), record.parts.count == away.count else {
            fuzzFailed("\(record.parts) is noted, but \(away) is away.")
        }
        guard !isEmpty || claims.isEmpty && away.isEmpty else { fuzzFailed("After a reset \(claims) is claimed.") }
    }
}

extension RequestServer.Claim {
    fileprivate func overlaps(_ other: Self) -> Bool {
        switch (self, other) {
        case (.ports(let range), .ports(let other)), (.memory(let range), .memory(let other)): range.overlaps(other)
        default: false
        }
    }
}
