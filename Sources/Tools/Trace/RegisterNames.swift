import Device
import PCI
import Tap

/// What the registers of a device are called, by what an access tells.
public struct RegisterNames: Sendable {
    private var table: [Place: (name: String, width: UInt64)] = [:]

    private struct Place: Hashable {
        let region: Int
        let offset: UInt64
        let isRead: Bool
    }

    /// - Parameter registers: those of the device's BARs; configuration space has PCI's names.
    public init(_ registers: [RegisterName] = []) {
        for register in ConfigurationSpace.headerRegisters {
            for isRead in [true, false] {
                add(register.name, RegionIndex.configuration, UInt64(register.offset), register.width.rawValue, isRead)
            }
        }
        for register in registers {
            if register.isReadable { add(register.name, register.bar, register.offset, register.width, true) }
            if register.isWritable { add(register.name, register.bar, register.offset, register.width, false) }
        }
    }

    private mutating func add(_ name: String, _ region: Int, _ offset: UInt64, _ width: Int, _ isRead: Bool) {
        table[Place(region: region, offset: offset, isRead: isRead)] = (name, UInt64(width))
    }

    /// All of them, in the order of the alphabet.
    public var all: [String] { Set(table.values.map(\.name)).sorted() }

    /// The longest register, in bytes.
    private static let longest: UInt64 = 8

    /// The name of the register that an access begins in; nil for what is none, or has no name.
    public subscript(event: Event) -> String? {
        guard event.kind == .read || event.kind == .write else { return nil }
        // An access of a register's part begins further on.
        for distance in 0..<min(Self.longest, event.offset &+ 1) {
            let place = Place(
                region: Int(event.region), offset: event.offset - distance, isRead: event.kind == .read)
            guard let register = table[place] else { continue }
            return distance < register.width ? register.name : nil
        }
        return nil
    }
}
