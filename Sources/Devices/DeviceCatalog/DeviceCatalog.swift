import BochsDisplay
import Device
import Exerciser
import SerialCard
import Virtio
import VirtioEntropy
import VirtioGPU

/// The devices that this program can make.
public enum DeviceCatalog {
    private static var devices: [any Device.Type] {
        [
            BochsDisplay.self, SerialCard.self, VirtioFunction<VirtioEntropy>.self, VirtioFunction<VirtioGPU>.self,
            Exerciser.self,
        ]
    }

    /// In the order in which they are shown.
    public static var types: [DeviceType] { devices.map { $0.type } }

    /// Checks options without making a device.
    ///
    /// - Parameters:
    ///   - name: a type's name.
    ///   - words: `KEY=VALUE` each.
    /// - Throws: `OptionError` for an unknown name or options that don't fit.
    public static func check(_ name: String, options words: [String]) throws(OptionError) {
        _ = try DeviceOptions(words, for: find(name).type)
    }

    /// How much memory guests map of a device, in bytes (``DeviceType/mappedMemory``). None is made.
    ///
    /// - Parameters: as for ``check(_:options:)``.
    /// - Throws: as ``check(_:options:)`` does.
    public static func mappedMemory(_ name: String, options words: [String]) throws(OptionError) -> Int {
        let type = try find(name).type
        return try type.mappedMemory(DeviceOptions(words, for: type))
    }

    /// Makes a device.
    ///
    /// - Parameters: as for ``check(_:options:)``.
    /// - Throws: as ``check(_:options:)`` does, and what the device's `init` throws.
    public static func make(_ name: String, options words: [String], host: Host) throws -> any Device {
        let device = try find(name)
        return try device.init(options: DeviceOptions(words, for: device.type), host: host)
    }

    private static func find(_ name: String) throws(OptionError) -> any Device.Type {
        guard let device = devices.first(where: { $0.type.name == name }) else {
            let names = devices.map { $0.type.name }.joined(separator: ", ")
            throw OptionError("There is no device type '\(name)'. The types: \(names).")
        }
        return device
    }
}
