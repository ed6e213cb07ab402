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

    /// The group that may open the render node of its device; nil for root's, and for a device without one.
    public var renderGroup: UInt32? {
        options.last { $0.name == Parent.renderNode }.flatMap { Parent.group(ofNode: $0.value) }
    }
}
