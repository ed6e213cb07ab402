import Device
import PCI
import Tap

extension Record.Kind {
    /// What a device's registers are called, for the dissector, which knows no types of devices: lines of text, each
    /// with region, offset, width, access and name, as "0 16 4 rw reset". `mediated record` writes it; for a replay it
    /// says nothing.
    public static let names = Self(rawValue: 0x91)
}

extension Record {
    /// - Parameter registers: those of the device's BARs; configuration space has PCI's names.
    public static func names(of registers: [RegisterName]) -> Record {
        var lines = ConfigurationSpace.headerRegisters.map {
            "\(RegionIndex.configuration) \($0.offset) \($0.width.rawValue) rw \($0.name)\n"
        }
        lines += registers.map { register in
            let access = (register.isReadable ? "r" : "") + (register.isWritable ? "w" : "")
            return "\(register.bar) \(register.offset) \(register.width) \(access) \(register.name)\n"
        }
        var record = Record(.names)
        record.bytes = Array(lines.joined().utf8.prefix(maximumBytes))
        record.count = UInt64(record.bytes.count)
        return record
    }
}
