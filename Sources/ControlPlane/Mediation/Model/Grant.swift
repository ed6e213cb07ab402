/// What a vGPU got from its type and its parent when it was started. It keeps that until it stops, whatever becomes of
/// these.
public struct Grant: Equatable, Codable, Sendable {
    /// The device's name in the catalog.
    public var device: String
    /// Those of the type's limits; attributes of the vGPU's own change them.
    public var limits: Limits
    /// The type's and the parent's options of the device.
    public var options: [Attribute]

    public init(device: String, limits: Limits, options: [Attribute]) {
        self.device = device
        self.limits = limits
        self.options = options
    }

    /// The group that may open the files by which its device draws: the render node, or `/dev/udmabuf` of one that has
    /// Vulkan in software; nil for root's, and for a device that has no such file. With Vulkan and a render node both
    /// files must be of one group.
    public var renderGroup: UInt32? {
        if let node = options.last(where: { $0.name == Parent.renderNode }) { return Parent.group(ofNode: node.value) }
        let hasVulkan = options.last { $0.name == Parent.renderer }?.value.contains("venus") == true
        return hasVulkan ? Parent.group(ofNode: Parent.bufferDevice) : nil
    }
}
