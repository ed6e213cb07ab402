import Device
import DeviceCatalog

/// The parents and types that there are, and what they have left.
public struct Catalogue: Sendable {
    public var parents: [Parent]
    public var types: [InstanceType]

    public init(parents: [Parent], types: [InstanceType]) {
        self.parents = parents
        self.types = types
    }

    /// The types that come with the vendor drivers.
    public static func builtInTypes() throws(OptionError) -> [InstanceType] {
        var types: [InstanceType] = []
        for type in DeviceCatalog.types { types.append(try InstanceType(type)) }
        return types
    }

    /// Adds a parent. For one that is there already it says only what it has to share out, and what it is.
    public mutating func add(_ parent: Parent) {
        if let index = parents.firstIndex(where: { $0.name == parent.name }) {
            parents[index].videoMemory = parent.videoMemory
            if !parent.description.isEmpty { parents[index].description = parent.description }
        } else {
            parents.append(parent)
        }
    }

    public func parent(_ name: String) throws(MediationError) -> Parent {
        guard let parent = parents.first(where: { $0.name == name }) else {
            throw MediationError(
                .invalid, "There is no parent '\(name)'. The parents: \(parents.map(\.name).joined(separator: ", ")).")
        }
        return parent
    }

    public func type(_ name: String) throws(MediationError) -> InstanceType {
        guard let type = types.first(where: { $0.name == name }) else {
            throw MediationError(
                .invalid, "There is no type '\(name)'. The types: \(types.map(\.name).joined(separator: ", ")).")
        }
        return type
    }

    // MARK: Checks

    /// What an instance may use, by its type and its attributes.
    public func limits(of instance: Instance) throws(MediationError) -> Limits {
        try type(instance.type).limits.changed(by: instance.attributes)
    }

    /// The device's name and the options to make it with.
    public func device(of instance: Instance) throws(MediationError) -> (name: String, options: [String]) {
        let type = try type(instance.type)
        let limits = try limits(of: instance)
        var options = type.options + instance.attributes.filter { !$0.isLimit }
        if let aperture = instance.aperture { options.append(Attribute(Self.aperture, "\(aperture)")) }
        if limits.videoMemory > 0 {
            options.append(Attribute(Limits.Name.videoMemory.rawValue, "\(limits.videoMemory)"))
        }
        if limits.frameRate > 0 { options.append(Attribute(Limits.Name.frameRate.rawValue, "\(limits.frameRate)")) }
        // What is drawn by whom is the parent's to say.
        options += try parent(instance.parent).options
        // What is said last counts, as where somebody writes to a file twice.
        var values: [String: String] = [:]
        for option in options { values[option.name] = option.value }
        return (type.device, values.sorted { $0.key < $1.key }.map { Attribute($0.key, $0.value).word })
    }

    /// What the aperture of a running instance's device stays, whatever becomes of its video memory: unless it is said it follows
    /// from that, and a saved state fits no other.
    ///
    /// - Returns: nil where it follows as before, or there is none.
    func aperture(of before: Instance, for after: Instance) throws(MediationError) -> Int? {
        if let aperture = before.aperture { return aperture }
        let device = try device(of: before).name
        let memory = try limits(of: before).videoMemory
        guard memory > 0, try limits(of: after).videoMemory != memory,
            DeviceCatalog.types.contains(where: {
                $0.name == device && $0.options.contains { $0.name == Self.aperture }
            }),
            !after.attributes.contains(where: { $0.name == Self.aperture })
        else { return nil }
        return 1 << (Int.bitWidth - (memory - 1).leadingZeroBitCount)
    }

    /// The option of a display that says how much video memory its guest sees.
    private static let aperture = "aperture"

    /// Whether an instance could be made some day: its parent and type exist, and its attributes fit.
    public func check(_ instance: Instance) throws(MediationError) {
        let parent = try parent(instance.parent)
        guard parent.backs(try type(instance.type)) else {
            let fit = parents.filter { (try? type(instance.type)).map($0.backs) ?? false }.map(\.name)
            throw MediationError(
                .invalid,
                "Parent '\(parent.name)' has nothing for a '\(instance.type)', which draws no 3D. Take \(fit.joined(separator: " or "))."
            )
        }
        // A program's arguments end there: the device would get something else than what is checked here.
        if let attribute = instance.attributes.first(where: { $0.word.utf8.contains(0) }) {
            throw MediationError(.invalid, "The attribute '\(attribute.name)' must not hold a zero.")
        }
        let limits = try limits(of: instance)
        guard limits.videoMemory <= parent.videoMemory else {
            throw MediationError(
                .exhausted,
                "It needs \(limits.videoMemory) bytes of video memory, but parent '\(parent.name)' has \(parent.videoMemory) in all."
            )
        }
        let device = try device(of: instance)
        do throws(OptionError) {
            try DeviceCatalog.check(device.name, options: device.options)
        } catch {
            throw MediationError(.invalid, error.description)
        }
    }

    // MARK: What is left

    /// Video memory of a parent that no active instance has, in bytes.
    public func videoMemoryLeft(of parent: Parent, _ instances: some Sequence<Instance>) -> Int {
        instances.reduce(parent.videoMemory) { left, instance in
            guard instance.isActive, instance.parent == parent.name, let limits = try? limits(of: instance) else {
                return left
            }
            return left - limits.videoMemory
        }
    }

    /// How many more instances of a type a parent could back now. sysfs's `available_instances`
    public func availableInstances(of type: InstanceType, on parent: Parent, _ instances: some Sequence<Instance>)
        -> Int
    {
        guard parent.backs(type) else { return 0 }
        let left = max(0, videoMemoryLeft(of: parent, instances))
        // What takes no video memory is bounded by processes, and these by the host.
        return type.limits.videoMemory == 0 ? Self.mostInstances : left / type.limits.videoMemory
    }

    /// What is said of a type that needs nothing of its parent.
    public static let mostInstances = 1024

    /// Whether there is room for one more instance.
    public func checkRoom(for instance: Instance, beside others: some Sequence<Instance>) throws(MediationError) {
        let parent = try parent(instance.parent)
        let left = videoMemoryLeft(of: parent, others)
        let needed = try limits(of: instance).videoMemory
        guard needed <= left else {
            throw MediationError(
                .exhausted,
                "It needs \(needed) bytes of video memory, but parent '\(parent.name)' has \(left) left. Stop another vGPU, or take less."
            )
        }
    }
}
