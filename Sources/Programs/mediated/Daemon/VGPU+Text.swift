import DaemonAPI
import JSON
import Mediation

extension VGPU {
    /// What mdevctl lists when nothing else is asked for: all that are there beyond their definition.
    var isActive: Bool { state != "stopped" }

    /// mdevctl's word for when it is started; nil for one that is gone when it stops.
    var start: String? { defined ? autostart ? "auto" : "manual" : nil }

    /// Its attributes, in the order in which they are counted: by name.
    var sortedAttributes: [Attribute] {
        attributes.sorted { $0.key < $1.key }.map { Attribute($0.key, $0.value) }
    }

    /// All of it, with the attributes in order.
    var json: JSON {
        get throws(Failure) {
            do throws(JSONError) {
                guard case .object(var members) = try JSON(encoding: self) else { return .null }
                members["attributes"] = .object(JSON.Object(sortedAttributes.map { ($0.name, .string($0.value)) }))
                return .object(members)
            } catch {
                throw Failure(.protocol, "The vGPU can't be put into words: \(error).")
            }
        }
    }

    /// Its definition as mdevctl writes it.
    var mdevctl: JSON {
        get throws(Failure) {
            guard let id = InstanceID(uuid) else {
                throw Failure(.protocol, "The daemon names a vGPU '\(uuid)', which is no UUID.")
            }
            return Instance(
                id: id, parent: parent, type: type, attributes: sortedAttributes, isAutostarted: autostart
            ).mdevctl
        }
    }
}

extension VGPU.Owner: CustomStringConvertible {
    /// `USER:GROUP` by number, or one of them.
    public var description: String {
        (user.map { "\($0)" } ?? "") + (group.map { ":\($0)" } ?? "")
    }
}

extension VGPU.Domain: CustomStringConvertible {
    public var description: String { "\(number), slot \(slot)" }
}

extension [[String]] {
    /// Lines with what stands below each other in columns, each as wide as needed; the last one ends where it ends. Of
    /// each cell there is its excerpt.
    func columns() -> [String] {
        let rows = map { $0.map(\.excerpt) }
        let count = rows.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in
            rows.reduce(0) { width, row in Swift.max(width, row.indices.contains(column) ? row[column].count : 0) }
        }
        return rows.map { row in
            row.enumerated().map { $0.offset == row.count - 1 ? $0.element : $0.element.padded(to: widths[$0.offset]) }
                .joined(separator: "  ")
        }
    }
}
