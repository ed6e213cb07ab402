/// What a change of a definition says; nil: as it is.
public struct Modification: Sendable {
    public var type: String?
    public var isAutostarted: Bool?
    /// Each replaces that of the same name.
    public var attributes: [Attribute] = []
    /// Those that aren't there are no error.
    public var removedAttributes: [String] = []
    public var owner: Instance.Owner?

    public init() {}

    /// What it makes of a vGPU. Whether there can be such a one is for ``Catalogue/check(_:)`` to say.
    public func applied(to instance: Instance) -> Instance {
        var instance = instance
        if let type { instance.type = type }
        if let isAutostarted { instance.isAutostarted = isAutostarted }
        if let owner { instance.owner = owner }
        instance.attributes.removeAll { removedAttributes.contains($0.name) }
        for attribute in attributes {
            instance.attributes.removeAll { $0.name == attribute.name }
            instance.attributes.append(attribute)
        }
        return instance
    }
}
