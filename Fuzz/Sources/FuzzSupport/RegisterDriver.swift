import FakeDriver
import PCI

@testable import Device

/// A driver that does to a function's registers whatever an input says. It knows them all, from the device's own
/// tables: most accesses are those of a whole register, with a value that may mean something; some are any.
public final class RegisterDriver {
    public let device: FuzzedFunction
    /// The device's registers as they are now.
    public var registers: [Place]
    /// What else answers: the shell's places, memory and doorbells.
    private let others: [Place]
    private let configuration: [Place]
    /// Values that mean something to a register, by its name.
    private let values: [String: [UInt64]]

    /// Where something answers.
    public struct Place: Sendable {
        public let name: String
        let region: Int
        let offset: UInt64
        let width: AccessWidth
        var isReadable = true
        var isWritable = true
        /// As features: see ``Reach``.
        let read: String
        let written: String

        init(_ name: String, _ region: Int, _ offset: UInt64, _ width: AccessWidth) {
            (self.name, self.region, self.offset, self.width) = (name, region, offset, width)
            read = "\(name) read"
            written = "\(name) written"
        }

        /// A BAR's registers, from their table.
        public static func all<Name>(_ map: RegisterMap<Name>, bar: Int) -> [Place] {
            let readable = map.readable.map { register in
                var place = Place("\(register.name)", bar, register.offset, register.width)
                place.isWritable = register.access == .readWrite || register.access == .writeOneToClear
                return place
            }
            return readable
                + map.writable.filter { $0.access == .writeOnly }.map { register in
                    var place = Place("\(register.name)", bar, register.offset, register.width)
                    place.isReadable = false
                    return place
                }
        }

        fileprivate var features: [String] { (isReadable ? [read] : []) + (isWritable ? [written] : []) }
    }

    private static let edges: [UInt64] = [
        0, 1, 2, 3, 4, 7, 8, 0x0f, 0x10, 0x20, 0x40, 0x80, 0xff, 0x100, 0x1000, 0x3fff, 0x4000, 0x8000, 0xffff,
        0x1_0000, 0x8000_0000, 0xffff_ffff, .max,
    ]

    /// By which messages are enabled, and masked.
    private static let messages: [String: [UInt64]] = [
        "MSI Message Control": [1, 0x31, 0], "MSI-X Message Control": [0x8000, 0xc000, 0],
    ]

    public init(_ device: FuzzedFunction, registers: [Place], values: [String: [UInt64]] = [:]) {
        self.device = device
        self.registers = registers
        self.values = values.merging(Self.messages) { own, _ in own }
        configuration = device.function.configuration.registers.map { register in
            let width = AccessWidth(rawValue: register.width.rawValue) ?? .byte
            return Place(register.name, RegionIndex.configuration, UInt64(register.offset), width)
        }
        others = Self.others(of: device.function)
    }

    private static func others(of function: Function) -> [Place] {
        var places: [Place] = []
        for index in 0..<6 {
            guard let region = function.region(index), region.size > 0 else { continue }
            for doorbell in region.doorbells {
                var place = Place("doorbell of BAR \(index)", index, doorbell.offset, .dword)
                place.isReadable = false
                places.append(place)
            }
            guard let memory = region.mapped.first else { continue }
            var place = Place("memory of BAR \(index)", index, memory.lowerBound, .qword)
            place.isWritable = region.isWritable
            places.append(place)
        }
        if let layout = function.configuration.msixLayout {
            let table = UInt64(layout.tableOffset)
            places.append(Place("MSI-X address", layout.tableBAR, table, .qword))
            places.append(Place("MSI-X data", layout.tableBAR, table + 8, .dword))
            places.append(Place("MSI-X mask", layout.tableBAR, table + 12, .dword))
            var pending = Place("MSI-X pending bits", layout.pendingBAR, UInt64(layout.pendingOffset), .qword)
            pending.isWritable = false
            places.append(pending)
        }
        return places
    }

    // MARK: Features

    private enum Event: String, CaseIterable {
        case refused = "access refused"
        case reset = "reset"
        case functionLevelReset = "function-level reset"
        case saved = "saved and restored"
        case message = "message sent"
        case heldBack = "message held back"
        case pin = "pin asserted"
        case picture = "picture looked at"
    }

    /// - Parameter registers: all that the device has at any time.
    public func features(_ registers: [Place]) -> [String] {
        let function = device.function
        let space = function.configuration
        var events = Set(Event.allCases)
        if space.msi == nil, space.msix == nil { events.subtract([.message, .heldBack]) }
        if function.device.interruptPin == nil { events.remove(.pin) }
        if function.display == nil { events.remove(.picture) }
        if !space.registers.contains(where: { $0.resetting != 0 }) { events.remove(.functionLevelReset) }
        let places = (registers + others).flatMap(\.features) + configuration.map(\.name)
        return places + Event.allCases.filter(events.contains).map(\.rawValue)
    }

    // MARK: Steps

    /// One action; more where the target has some of its own.
    ///
    /// - Parameter own: does what the device alone knows.
    public func step(
        _ input: inout Input, _ reach: inout Reach<String>,
        own: (UInt8, inout Input, inout Reach<String>) throws -> Void = { _, _, _ in }
    ) throws {
        let action = input.byte()
        do {
            try act(action, &input, &reach, own)
        } catch is AccessError {
            // As in D3hot, where only configuration space answers.
            reach.note(Event.refused.rawValue)
        }
    }

    private func act(
        _ action: UInt8, _ input: inout Input, _ reach: inout Reach<String>,
        _ own: (UInt8, inout Input, inout Reach<String>) throws -> Void
    ) throws {
        switch action & 7 {
        case 0, 1, 2: try write(input.pick(registers), action, &input, &reach)
        case 3: try read(input.pick(registers), action, &input, &reach)
        case 4:
            if others.isEmpty { return try read(input.pick(registers), action, &input, &reach) }
            let place = input.pick(others)
            if action & 0x80 == 0, place.isWritable {
                try write(place, action, &input, &reach)
            } else {
                try read(place, action, &input, &reach)
            }
        case 5: try configure(input.pick(configuration), action, &input, &reach)
        case 6: accessAnything(action, &input, &reach)
        default: try happen(action >> 3, &input, &reach, own)
        }
    }

    private func write(
        _ place: Place, _ action: UInt8, _ input: inout Input, _ reach: inout Reach<String>
    ) throws {
        let width = width(of: place, action)
        let value = value(for: place, action, &input)
        try observe(&reach) {
            try device.function.store(value, region: place.region, offset: place.offset, width: width)
        }
        if place.isWritable, width == place.width { reach.note(place.written) }
    }

    private func read(_ place: Place, _ action: UInt8, _ input: inout Input, _ reach: inout Reach<String>) throws {
        _ = try device.function.load(region: place.region, offset: place.offset, width: width(of: place, action))
        if place.isReadable { reach.note(place.read) }
    }

    private func configure(
        _ place: Place, _ action: UInt8, _ input: inout Input, _ reach: inout Reach<String>
    ) throws {
        guard action & 0x80 == 0 else {
            _ = try device.function.load(region: place.region, offset: place.offset, width: place.width)
            return
        }
        let value = value(for: place, action, &input)
        let register = device.function.configuration.registers.first { $0.offset == Int(place.offset) }
        try observe(&reach) {
            try device.function.store(value, region: place.region, offset: place.offset, width: place.width)
        }
        reach.note(place.name)
        if UInt64(register?.resetting ?? 0) & value != 0 { reach.note(Event.functionLevelReset.rawValue) }
    }

    /// The register's own, most of the time.
    private func width(of place: Place, _ action: UInt8) -> AccessWidth {
        guard action & 0x30 == 0x30, place.offset & 7 == 0 else { return place.width }
        return action & 0x40 == 0 ? .qword : .byte
    }

    private func value(for place: Place, _ action: UInt8, _ input: inout Input) -> UInt64 {
        if action & 8 == 0 { return input.number(bytes: place.width.rawValue) }
        return input.pick(values[place.name] ?? Self.edges)
    }

    private func accessAnything(_ action: UInt8, _ input: inout Input, _ reach: inout Reach<String>) {
        let region = Int(input.byte() & 0x0f)
        // Mostly near the beginning, where the registers are.
        let offset = action & 0x40 == 0 ? input.number(bytes: 2) & 0xfff : input.number(bytes: 8)
        do {
            if action & 0x80 == 0 {
                var bytes = [UInt8](repeating: 0, count: Int(input.byte() & 0x1f))
                var span = bytes.mutableSpan
                var raw = span.mutableBytes
                try device.function.read(region: region, offset: offset, into: &raw)
            } else {
                let bytes = input.take(Int(input.byte() & 0x1f))
                try device.function.write(region: region, offset: offset, from: bytes.span.bytes)
            }
        } catch {
            reach.note(Event.refused.rawValue)
        }
    }

    private func happen(
        _ action: UInt8, _ input: inout Input, _ reach: inout Reach<String>,
        _ own: (UInt8, inout Input, inout Reach<String>) throws -> Void
    ) throws {
        switch action {
        case 0:
            device.function.reset()
            reach.note(Event.reset.rawValue)
        case 1, 2: if device.saveAndRestore() { reach.note(Event.saved.rawValue) }
        case 3, 4:
            if device.function.display != nil, device.look() { reach.note(Event.picture.rawValue) }
        case 5: device.interrupts.isOpen.toggle()
        case 8: try enableMessages(&input)
        case 6: try device.host.loop.dispatch(within: .zero)
        default: try own(action, &input, &reach)
        }
    }

    /// As a driver does, by MSI or MSI-X.
    private func enableMessages(_ input: inout Input) throws {
        let names = Self.messages.keys.sorted()
        let name = names[Int(input.byte() & 1)]
        guard let place = configuration.first(where: { $0.name == name }) else { return }
        let value = input.pick(values[name] ?? [])
        try device.function.store(value, region: place.region, offset: place.offset, width: place.width)
    }

    private func observe(_ reach: inout Reach<String>, _ access: () throws -> Void) throws {
        let interrupts = device.interrupts
        let (sent, heldBack, assertions) = (interrupts.sent, interrupts.heldBack, interrupts.assertions)
        try access()
        if interrupts.sent != sent { reach.note(Event.message.rawValue) }
        if interrupts.heldBack != heldBack { reach.note(Event.heldBack.rawValue) }
        if interrupts.assertions != assertions { reach.note(Event.pin.rawValue) }
    }
}
