import ArgumentParser
import DaemonAPI
import DaemonClient
import Device
import DeviceCatalog
import JSON

/// `mediated types`
struct Types: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the types, with the options that each has.",
        discussion: """
            They are the daemon's: of each parent, with how many more of them it could back. Where no daemon is, they are \
            the devices that 'mediated run' can serve.
            """)

    @Option(name: .shortAndLong, help: "List only those of a parent.")
    var parent: String?

    @Flag(help: "Print mdevctl's JSON.")
    var dumpjson = false

    @Flag(help: "Print JSON: an array of types.")
    var json = false

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        guard !json || !dumpjson else { throw ValidationError("--json and --dumpjson exclude each other.") }
    }

    func run() throws {
        // Only a daemon has parents.
        if parent != nil || dumpjson { return try tell(daemon.ask(Self.types)) }
        if let types = try daemon.askIfThere(Self.types) { return try tell(types) }
        if json { return Output.print(json: .array(DeviceCatalog.types.map { .object($0.json) })) }
        Output.print(
            paragraphs: DeviceCatalog.types.map { [$0.name, $0.summary.indented] + $0.table.map(\.indented) })
    }

    private static func types(_ client: DaemonClient) throws(DaemonClientError) -> [SupportedType] {
        try client.get("/v1/types", as: TypeList.self).types
    }

    // MARK: The daemon's

    private func tell(_ all: [SupportedType]) throws(Failure) {
        var parents: [String] = []
        for name in all.flatMap({ $0.parents.map(\.parent) }) where !parents.contains(name) { parents.append(name) }
        if let parent {
            guard parents.contains(parent) else {
                throw Failure(
                    .usage, "There is no parent '\(parent)'. The parents: \(parents.joined(separator: ", ")).")
            }
            parents = [parent]
        }
        if json {
            return Output.print(json: .array(try all.map { type throws(Failure) in try type.json(of: parents) }))
        }
        if dumpjson { return Output.print(json: Self.mdevctl(all, of: parents)) }
        Output.print(
            paragraphs: parents.map { parent in
                [parent.excerpt] + all.flatMap { $0.lines(of: parent) }.map(\.indented)
            })
    }

    /// As mdevctl does: `[{PARENT: [{TYPE: {"available_instances": …, …}}, …]}]`.
    private static func mdevctl(_ types: [SupportedType], of parents: [String]) -> JSON {
        let members = parents.map { parent in
            let children = types.compactMap { type in
                type.available(on: parent).map { JSON.object(JSON.Object([(type.name, type.mdevctl(available: $0))])) }
            }
            return (parent, JSON.array(children))
        }
        return members.isEmpty ? [] : [.object(JSON.Object(members))]
    }
}

extension SupportedType {
    /// Nil when the parent doesn't have the type.
    fileprivate func available(on parent: String) -> Int? {
        parents.first { $0.parent == parent }?.availableInstances
    }

    /// What comes with this program under the name of the type's device.
    private var catalogued: DeviceType? { DeviceCatalog.types.first { $0.name == device } }

    /// In the manner of `mdevctl types`.
    fileprivate func lines(of parent: String) -> [String] {
        guard let available = available(on: parent) else { return [] }
        let facts = [
            "Available instances: \(available)", "Device API: \(deviceAPI)", "Description: \(description)",
            videoMemory > 0 ? "Video memory: \(Size(videoMemory))" : nil, resolution.map { "Resolution: \($0)" },
            heads > 0 ? "Heads: \(heads)" : nil, "Weight: \(weight)",
            frameRate > 0 ? "Frame rate: \(frameRate)" : nil,
        ]
        // The defaults are the device's: what else an administrator's type sets is not among what the daemon tells.
        let title = name == device ? "Attributes:" : "Attributes, with the defaults of \(device):"
        let table = catalogued?.table ?? []
        let options = table.isEmpty ? [] : [title.excerpt] + table.map(\.indented)
        return [name.excerpt] + (facts.compactMap { $0?.excerpt } + options).map(\.indented)
    }

    /// What a catalogued type has, and what only the daemon knows.
    fileprivate func json(of parents: [String]) throws(Failure) -> JSON {
        var type = self
        type.parents.removeAll { !parents.contains($0.parent) }
        var members = catalogued?.json ?? ["options": []]
        members["name"] = .string(name)
        members["summary"] = .string(description)
        do throws(JSONError) {
            for (name, value) in try JSON(encoding: type).object ?? [:] where name != "description" {
                members[name] = value
            }
        } catch {
            throw Failure(.protocol, "The type can't be put into words: \(error).")
        }
        return .object(members)
    }

    fileprivate func mdevctl(available: Int) -> JSON {
        [
            "available_instances": JSON(available), "device_api": .string(deviceAPI), "name": .string(name),
            "description": .string(description),
        ]
    }
}

// MARK: What comes with this program

extension DeviceType {
    fileprivate var json: JSON.Object {
        ["name": .string(name), "summary": .string(summary), "options": .array(options.map(\.json))]
    }

    /// A line for each option.
    fileprivate var table: [String] {
        options.map { ["\($0.name)=\($0.kind.values)", $0.standard.map { "[\($0)]" } ?? "", $0.help] }.columns()
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

extension String {
    fileprivate var indented: String { "  " + self }
}
