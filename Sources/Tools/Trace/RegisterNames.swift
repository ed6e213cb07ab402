import Device
import PCI
import PCIInspection
import Tap

/// What the registers and the virtqueues of a device are called, and what goes through them says, by what an event tells.
public struct RegisterNames: Sendable {
    /// nil for a device without virtqueues, or with such that nobody here knows.
    let queues: QueueProtocol?
    private var table: [Place: Register] = [:]

    private struct Place: Hashable {
        let region: Int
        let offset: UInt64
        let isRead: Bool
    }

    private struct Register {
        let name: String
        let width: UInt64
        let fields: [RegisterField]
    }

    /// One register that an access reaches.
    struct Part: Equatable {
        let name: String
        /// What was read or written of it, where its bits stand.
        let value: UInt64
        /// Which of its bits that are.
        let bits: Range<Int>
        /// Those that the access reaches whole.
        let fields: [RegisterField]
    }

    /// - Parameters:
    ///   - registers: those of the device's BARs.
    ///   - configuration: the bytes of its configuration space, which tell where its capabilities are; empty when they
    ///     aren't known. The header has PCI's names.
    ///   - type: the device's, for what goes through its virtqueues.
    public init(_ registers: [RegisterName] = [], configuration: [UInt8] = [], ofType type: String = "") {
        queues = QueueProtocol.all[type]
        for register in ConfigurationSpace.headerRegisters {
            let layout = ConfigurationReport.headerRegisters.first {
                $0.offset == register.offset && $0.width == register.width.rawValue
            }
            addConfiguration(register.name, register.offset, register.width.rawValue, layout?.fields ?? [])
        }
        for capability in ConfigurationReport(configuration).capabilities {
            // "Vendor Specific Information: VirtIO" is long.
            let name = capability.name.split(separator: ": ").last.map(String.init) ?? capability.name
            addConfiguration("\(name) ID", capability.offset, 1, [])
            addConfiguration("\(name) Next", capability.offset + 1, 1, [])
            for register in capability.allRegisters {
                let layout = register.layout
                addConfiguration("\(name) \(layout.name)", register.offset, layout.width, layout.fields)
            }
        }
        for register in registers {
            let entry = Register(name: register.name, width: UInt64(register.width), fields: register.fields)
            if register.isReadable { add(entry, register.bar, register.offset, isRead: true) }
            if register.isWritable { add(entry, register.bar, register.offset, isRead: false) }
        }
    }

    private mutating func addConfiguration(_ name: String, _ offset: Int, _ width: Int, _ fields: [RegisterField]) {
        let entry = Register(name: name, width: UInt64(width), fields: fields)
        for isRead in [true, false] { add(entry, RegionIndex.configuration, UInt64(offset), isRead: isRead) }
    }

    private mutating func add(_ register: Register, _ region: Int, _ offset: UInt64, isRead: Bool) {
        let place = Place(region: region, offset: offset, isRead: isRead)
        // A device's capabilities may lie on each other.
        if table[place] == nil { table[place] = register }
    }

    /// All of them, in the order of the alphabet.
    public var all: [String] { Set(table.values.map(\.name)).sorted() }

    /// The longest register, in bytes.
    private static let longest: UInt64 = 8

    /// The name of the register that an access begins in; nil for what is none, or has no name.
    public subscript(event: Event) -> String? { first(of: event)?.register.name }

    private func first(of event: Event) -> (register: Register, distance: UInt64)? {
        guard event.isAccess else { return nil }
        // An access of a register's part begins further on.
        for distance in 0..<min(Self.longest, event.offset &+ 1) {
            guard let register = register(event, at: event.offset - distance) else { continue }
            return distance < register.width ? (register, distance) : nil
        }
        return nil
    }

    private func register(_ event: Event, at offset: UInt64) -> Register? {
        table[Place(region: Int(event.region), offset: offset, isRead: event.kind == .read)]
    }

    /// The registers that an access of at most eight bytes reaches, in their order.
    func parts(of event: Event) -> [Part] {
        guard event.isAccess, (1...8).contains(event.count) else { return [] }
        var parts: [Part] = []
        if let (register, distance) = first(of: event) {
            let below = Int(8 * distance)
            parts.append(Self.part(register, event.value << UInt64(below), from: below, count: Int(event.count)))
        }
        for index in 1..<max(1, event.count) where event.offset <= .max - index {
            guard let register = register(event, at: event.offset + index) else { continue }
            parts.append(
                Self.part(register, event.value >> UInt64(8 * index), from: 0, count: Int(event.count - index)))
        }
        return parts
    }

    /// - Parameters:
    ///   - first: the first bit that was reached.
    ///   - count: how many bytes the access has from there on.
    private static func part(_ register: Register, _ value: UInt64, from first: Int, count: Int) -> Part {
        let bits = first..<min(first + 8 * count, Int(8 * register.width))
        return Part(
            name: register.name, value: value & .max >> UInt64(64 - bits.upperBound), bits: bits,
            fields: register.fields.filter {
                bits.lowerBound <= $0.bits.lowerBound && $0.bits.upperBound < bits.upperBound
            })
    }
}
