/// What a vGPU has had of its type and its parent since it was started: whatever becomes of these, it stays its own until it stops.
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

    /// The render node that its device opens, and the group that may; nil for what has none.
    var renderGroup: UInt32? {
        options.last { $0.name == Parent.renderNode }.flatMap { Parent.group(ofNode: $0.value) }
    }
}
