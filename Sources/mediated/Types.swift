import ArgumentParser
import Device
import DeviceCatalog
import JSON

/// `mediated types`
struct Types: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the types of device, with the options that each has.")

    @Flag(help: "Print JSON: an array of types.")
    var json = false

    func run() {
        if json {
            print(JSON.array(DeviceCatalog.types.map(\.json)).prettyText)
        } else {
            print(DeviceCatalog.types.map(\.table).joined(separator: "\n\n"))
        }
    }
}

extension DeviceType {
    fileprivate var json: JSON {
        ["name": .string(name), "summary": .string(summary), "options": .array(options.map(\.json))]
    }

    fileprivate var table: String {
        let rows = options.map { ["  \($0.name)=\($0.kind.values)", $0.standard.map { "[\($0)]" } ?? "", $0.help] }
        let widths = (0..<2).map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ") + "  "
                + row[2]
        }
        return ([name, "  \(summary)"] + lines).joined(separator: "\n")
    }
}

extension DeviceType.Option {
    fileprivate var json: JSON {
        var members: JSON.Object = ["name": .string(name)]
        switch kind {
        case .integer(let range):
            members["kind"] = "integer"
            members["minimum"] = JSON(range.lowerBound)
            members["maximum"] = JSON(range.upperBound)
        case .boolean: members["kind"] = "boolean"
        case .choice(let words):
            members["kind"] = "choice"
            members["choices"] = .array(words.map(JSON.string))
        case .text: members["kind"] = "text"
        }
        members["default"] = standard.map(JSON.string) ?? .null
        members["help"] = .string(help)
        return .object(members)
    }
}

extension DeviceType.Option.Kind {
    /// What may stand behind `NAME=`.
    fileprivate var values: String {
        switch self {
        case .integer(let range): "\(Size(range.lowerBound))..\(Size(range.upperBound))"
        case .boolean: "on|off"
        case .choice(let words): words.joined(separator: "|")
        case .text: "TEXT"
        }
    }
}
