import JSON

/// A definition as mdevctl writes and reads it: `{"mdev_type": …, "start": "auto"|"manual", "attrs": [{NAME: VALUE},
/// …]}`.
extension Instance {
    /// Reads what `mdevctl list --dumpjson -u UUID` prints, or a file of /etc/mdevctl.d.
    ///
    /// - Parameter type: when the JSON names none.
    /// - Throws: ``MediationError`` that says what is wrong where.
    public init(mdevctl json: JSON, id: InstanceID, parent: String, type: String? = nil) throws(MediationError) {
        guard let members = json.object else { throw Self.wrong("it must be an object") }
        for (name, _) in members where !["mdev_type", "start", "attrs"].contains(name) {
            throw Self.wrong("'\(name)' is none of mdev_type, start and attrs")
        }
        let named: String?
        switch members["mdev_type"] {
        case .string(let name): named = name
        case nil: named = nil
        default: throw Self.wrong("'mdev_type' must be a string")
        }
        guard let type = named ?? type else { throw Self.wrong("'mdev_type' is missing") }
        let isAutostarted: Bool
        switch members["start"] {
        case "auto": isAutostarted = true
        case "manual", nil: isAutostarted = false
        case let other?: throw Self.wrong("'start' is \(other.text) but must be \"auto\" or \"manual\"")
        }
        var attributes: [Attribute] = []
        switch members["attrs"] {
        case nil: break
        case .array(let elements):
            for element in elements {
                guard let object = element.object, object.count == 1, let name = object.names.first,
                    let value = object[name]?.string
                else { throw Self.wrong("each of 'attrs' must be an object with one string, not \(element.text)") }
                attributes.append(Attribute(name, value))
            }
        case let other?: throw Self.wrong("'attrs' is \(other.text) but must be an array")
        }
        self.init(id: id, parent: parent, type: type, attributes: attributes, isAutostarted: isAutostarted)
    }

    private static func wrong(_ reason: String) -> MediationError {
        MediationError(.invalid, "The definition is not one of mdevctl's: \(reason).")
    }

    /// As mdevctl writes it.
    public var mdevctl: JSON {
        [
            "mdev_type": .string(type),
            "start": isAutostarted ? "auto" : "manual",
            "attrs": .array(attributes.map { .object(JSON.Object([($0.name, .string($0.value))])) }),
        ]
    }
}
