import JSON

/// The object model of a running QEMU: a tree of objects with properties, its devices and buses among them.
/// qapi/qom.json
extension QMPClient {
    /// What kind of property it is, `type` says: `child<TYPE>` for an object that is part of this one.
    struct Property {
        var name: String
        var type: String
    }

    /// The properties of the object at `path`. qom-list
    func properties(of path: String) throws(QMPError) -> [Property] {
        try array("qom-list", ["path": .string(path)]).compactMap { property in
            guard let name = property["name"]?.string, let type = property["type"]?.string else { return nil }
            return Property(name: name, type: type)
        }
    }

    /// The value of a property of the object at `path`. qom-get
    func value(of property: String, of path: String) throws(QMPError) -> JSON {
        try execute("qom-get", ["path": .string(path), "property": .string(property)])
    }

    /// The types that are `type` or derived from it, and can be made. qom-list-types
    func types(derivedFrom type: String) throws(QMPError) -> [String] {
        try array("qom-list-types", ["implements": .string(type), "abstract": false]).compactMap { $0["name"]?.string }
    }

    /// The result of a command that returns an array.
    func array(_ command: String, _ arguments: JSON.Object = [:]) throws(QMPError) -> [JSON] {
        guard let array = try execute(command, arguments).array else {
            throw .malformed("the result of '\(command)' is no array")
        }
        return array
    }
}
