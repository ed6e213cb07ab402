import Device
import DeviceCatalog
import Display
import Mediation
import Yams

extension InstanceType {
    static var builtInNames: [String] { DeviceCatalog.types.map(\.name) }

    /// What a type may use, and what it shows: each is an option of the device too, but for the weight.
    private enum Key: String, CaseIterable {
        case videoMemory = "vram"
        case weight
        case frameRate = "frame-rate"
        case resolution
        case heads
    }

    /// Reads a type: what comes with its device, but for what is said here.
    init(_ node: Node, _ names: inout Names) throws(Fault) {
        let keys = ["name", "description", "device"] + Key.allCases.map(\.rawValue) + ["options"]
        let fields = try Fields(node, describing: "a type", keys: keys)
        let name = try names.take(fields.requiredSetting("name"))
        let device = try fields.requiredSetting("device")
        guard let deviceType = DeviceCatalog.types.first(where: { $0.name == device.text }) else {
            throw device.fault("must be one of: \(DeviceCatalog.types.map(\.name).list)")
        }
        self = try device.checked { () throws(OptionError) in try InstanceType(deviceType) }
        self.name = name
        if let description = try fields.setting("description") { self.description = description.text }
        for key in Key.allCases {
            guard let setting = try fields.setting(key.rawValue) else { continue }
            try set(key, setting, deviceType)
        }
        for (name, option) in try fields.settings("options") {
            guard Key(rawValue: name.text) == nil else {
                throw Fault(name.place, "'\(name.text)' is a key of the type itself: write it beside 'options'.")
            }
            options.append(try option.attribute(of: deviceType))
        }
    }

    private mutating func set(_ key: Key, _ setting: Setting, _ deviceType: DeviceType) throws(Fault) {
        switch key {
        case .videoMemory, .frameRate:
            try setLimit(setting)
            // The catalogue makes options of these two: they change with an instance's own.
            _ = try setting.attribute(of: deviceType)
        case .weight: try setLimit(setting)
        case .resolution:
            let resolution = try setting.checked { () throws(OptionError) in try Resolution(setting.text) }
            options.append(try setting.attribute(of: deviceType))
            self.resolution = resolution.description
        case .heads:
            let count = try setting.number(in: 0...Int.max)
            if deviceType.options.contains(where: { $0.name == setting.key }) {
                options.append(try setting.attribute(of: deviceType))
                heads = count
            } else if count != heads {
                throw setting.fault("a \(deviceType.name) always has \(heads): leave it out")
            }
        }
    }

    private mutating func setLimit(_ setting: Setting) throws(Fault) {
        let limits = limits
        self.limits = try setting.checked { () throws(MediationError) in
            try limits.changed(by: [Attribute(setting.key, setting.text)])
        }
    }
}

extension Setting {
    /// As an option that a device has, with a value that it takes.
    fileprivate func attribute(of deviceType: DeviceType) throws(Fault) -> Attribute {
        let attribute = Attribute(key, text)
        try checked { () throws(OptionError) in
            try DeviceCatalog.check(deviceType.name, options: [attribute.word])
        }
        return attribute
    }
}
