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

    /// The types that come with the devices.
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

    // MARK: What instances have

    /// What an instance has, or would get now. Its parent and type must be there for the latter.
    public func grant(of instance: Instance) throws(MediationError) -> Grant {
        if let grant = instance.grant { return grant }
        let (parent, type) = (try parent(instance.parent), try type(instance.type))
        guard parent.backs(type) else {
            let fit = parents.filter { $0.backs(type) }.map(\.name)
            throw MediationError(
                .invalid,
                "Parent '\(parent.name)' has nothing for a '\(instance.type)', which draws no 3D. Take \(fit.joined(separator: " or "))."
            )
        }
        // What draws is the parent's to say, or the administrator's, who makes types: with Vulkan, say.
        return Grant(device: type.device, limits: type.limits, options: parent.options + type.options)
    }

    /// What an instance may use.
    public func limits(of instance: Instance) throws(MediationError) -> Limits {
        let grant = try grant(of: instance)
        var limits = try grant.limits.changed(by: instance.attributes)
        let window = (grant.options + instance.attributes).last { $0.name == Self.window }
        if let window { limits.window = try window.number(in: 0...Int.max) }
        return limits
    }

    /// The device's name and the options to make it with.
    public func device(of instance: Instance) throws(MediationError) -> (name: String, options: [String]) {
        let grant = try grant(of: instance)
        let limits = try limits(of: instance)
        var options = grant.options + instance.attributes.filter { !$0.isLimit }
        if let aperture = instance.aperture { options.append(Attribute(Self.aperture, "\(aperture)")) }
        if limits.videoMemory > 0 {
            options.append(Attribute(Limits.Name.videoMemory.rawValue, "\(limits.videoMemory)"))
        }
        if limits.frameRate > 0 { options.append(Attribute(Limits.Name.frameRate.rawValue, "\(limits.frameRate)")) }
        // What is said last counts, as where somebody writes to a file twice.
        var values: [String: String] = [:]
        for option in options { values[option.name] = option.value }
        return (grant.device, values.sorted { $0.key < $1.key }.map { Attribute($0.key, $0.value).word })
    }

    /// What the aperture of a running instance's device stays, whatever becomes of its video memory: unless it is said
    /// it follows from that, and a saved state fits no other.
    ///
    /// - Returns: nil where it follows as before, or there is none.
    public func aperture(of before: Instance, for after: Instance) throws(MediationError) -> Int? {
        if let aperture = before.aperture { return aperture }
        let device = try device(of: before)
        let memory = try limits(of: before).videoMemory
        guard try limits(of: after).videoMemory != memory,
            DeviceCatalog.types.contains(where: {
                $0.name == device.name && $0.options.contains { $0.name == Self.aperture }
            }),
            Self.aperture(among: device.options) == nil
        else { return nil }
        return Self.aperture(for: memory)
    }

    /// How much video memory the guest of an instance sees, in bytes: its aperture, which may be more than the limit;
    /// 0: none.
    public func visibleVideoMemory(of instance: Instance) throws(MediationError) -> Int {
        let memory = try limits(of: instance).videoMemory
        return try Self.aperture(among: device(of: instance).options) ?? Self.aperture(for: memory) ?? 0
    }

    /// How much memory the guest of an instance maps of its device, in bytes (`DeviceType.mappedMemory`).
    public func mappedMemory(of instance: Instance) throws(MediationError) -> Int {
        let device = try device(of: instance)
        do throws(OptionError) {
            return try DeviceCatalog.mappedMemory(device.name, options: device.options)
        } catch {
            throw MediationError(.invalid, error.description)
        }
    }

    private static func aperture(among options: [String]) -> Int? {
        options.first { $0.hasPrefix("\(aperture)=") }
            .flatMap { try? Attribute(aperture, String($0.dropFirst(aperture.count + 1))).number(in: 1...Int.max) }
    }

    /// A power of two, as BARs have it; nil where there is no video memory.
    private static func aperture(for memory: Int) -> Int? {
        guard memory > 0, memory <= 1 << (Int.bitWidth - 2) else { return nil }
        return 1 << (Int.bitWidth - (memory - 1).leadingZeroBitCount)
    }

    /// The option of a display that says how much video memory its guest sees.
    private static let aperture = "aperture"
    /// The option that says how much memory Vulkan programs share with the host.
    private static let window = "window"

    // MARK: Checks

    /// Whether an instance could be made some day: its parent and type exist, unless it runs already, and its
    /// attributes fit.
    public func check(_ instance: Instance) throws(MediationError) {
        for attribute in instance.attributes { try Self.check(attribute) }
        // An earlier version allowed it, and one that runs keeps it.
        if instance.grant == nil { try checkRenderer(instance) }
        let device = try device(of: instance)
        if instance.grant == nil {
            let (parent, limits) = (try parent(instance.parent), try limits(of: instance))
            guard limits.videoMemory <= parent.videoMemory else {
                throw MediationError(
                    .exhausted,
                    "It needs \(limits.videoMemory) bytes of video memory, but parent '\(parent.name)' has \(parent.videoMemory) in all."
                )
            }
        }
        do throws(OptionError) {
            try DeviceCatalog.check(device.name, options: device.options)
        } catch {
            throw MediationError(.invalid, error.description)
        }
    }

    /// The longest name and value of an attribute, in bytes: they are stored, and listed.
    static let attributeLimits = (name: 64, value: 4096)

    private static func check(_ attribute: Attribute) throws(MediationError) {
        let limits = attributeLimits
        guard attribute.name.utf8.count <= limits.name else {
            throw MediationError(
                .invalid, "An attribute's name has \(attribute.name.utf8.count) bytes, but can have \(limits.name).")
        }
        guard attribute.value.utf8.count <= limits.value else {
            throw MediationError(
                .invalid,
                "The attribute '\(attribute.name)' has \(attribute.value.utf8.count) bytes, but can have \(limits.value)."
            )
        }
        // A program's arguments end there: the device would get something else than what is checked here.
        guard !attribute.word.utf8.contains(0) else {
            throw MediationError(.invalid, "The attribute '\(attribute.name)' must not hold a zero.")
        }
    }

    /// What draws is the parent's to say, and what Vulkan may have is the type's: the bound on a vGPU's memory follows
    /// from it.
    private func checkRenderer(_ instance: Instance) throws(MediationError) {
        if let window = instance.attributes.first(where: { $0.name == Self.window }) {
            throw MediationError(
                .invalid,
                "The attribute '\(window.name)' can't be chosen: the type says it, as it says the renderer.")
        }
        guard
            let attribute = instance.attributes.first(where: { [Parent.renderer, Parent.renderNode].contains($0.name) })
        else { return }
        let drawing = parents.filter { $0.renderer != nil }.map(\.name)
        let advice = drawing.isEmpty ? "There is none with 3D." : "For 3D take \(drawing.joined(separator: " or "))."
        throw MediationError(
            .invalid, "The attribute '\(attribute.name)' can't be chosen: the parent says what draws. \(advice)")
    }

    // MARK: What is left

    /// Video memory of a parent that no active instance has, in bytes; 0 also where they have more than it: an
    /// administrator may have lowered that while they ran.
    public func videoMemoryLeft(of parent: Parent, _ instances: some Sequence<Instance>) -> Int {
        var left = parent.videoMemory
        for instance in instances where instance.isActive && instance.parent == parent.name {
            // More than there is in all is nothing left, too; so no sum overflows.
            left -= min(left, (try? limits(of: instance).videoMemory) ?? 0)
        }
        return left
    }

    /// How many more instances of a type a parent could back now. sysfs's `available_instances`
    public func availableInstances(of type: InstanceType, on parent: Parent, _ instances: some Sequence<Instance>)
        -> Int
    {
        guard parent.backs(type) else { return 0 }
        // What takes no video memory is bounded by processes, and these by the host.
        guard type.limits.videoMemory > 0 else { return Self.mostInstances }
        return videoMemoryLeft(of: parent, instances) / type.limits.videoMemory
    }

    /// What is said of a type that needs nothing of its parent.
    public static let mostInstances = 1024

    /// Whether there is room for one more instance, or for one that is to have more than it has.
    public func checkRoom(for instance: Instance, beside others: some Sequence<Instance>) throws(MediationError) {
        let needed = try limits(of: instance).videoMemory
        // Its parent may be gone.
        let left = parents.first { $0.name == instance.parent }.map { videoMemoryLeft(of: $0, others) } ?? 0
        guard needed <= left else {
            throw MediationError(
                .exhausted,
                "It needs \(needed) bytes of video memory, but parent '\(instance.parent)' has \(left) left. Stop another vGPU, or take less."
            )
        }
    }
}
