import BochsDisplay
import Device
import SerialCard

/// Every type of device that there is. A new device is added here, and nowhere else above its own folder.
public enum DeviceCatalog {
    /// In the order in which users see them.
    public static var devices: [any Device.Type] { [BochsDisplay.self, SerialCard.self] }

    /// The types, as an administrator sees them.
    public static var types: [DeviceType] { devices.map { $0.type } }

    /// The type with a name.
    ///
    /// - Throws: ``OptionError`` that tells which there are.
    public static func type(named name: String) throws(OptionError) -> DeviceType {
        try device(named: name).type
    }

    /// Makes a device in its power-on state.
    ///
    /// - Parameters:
    ///   - options: `KEY=VALUE` words.
    /// - Throws: ``OptionError`` for an unknown name, and whatever the device's own initializer throws.
    public static func make(_ name: String, options: [String], host: Host) throws -> any Device {
        let device = try device(named: name)
        return try device.init(options: DeviceOptions(options, for: device.type), host: host)
    }

    private static func device(named name: String) throws(OptionError) -> any Device.Type {
        guard let device = devices.first(where: { $0.type.name == name }) else {
            throw OptionError(
                "There is no device type '\(name)'. There are: \(types.map(\.name).joined(separator: ", ")).")
        }
        return device
    }
}
