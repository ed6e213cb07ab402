import ArgumentParser
import DaemonAPI
import DaemonClient
import DeviceCatalog
import JSON
import Linux
import Mediation

/// What a vGPU is to be.
struct DefinitionOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "The parent. [default: the first that backs the type]")
    var parent: String?

    @Option(name: .shortAndLong, help: "The type.", completion: Self.types)
    var type: String?

    @OptionGroup var settings: SettingOptions

    /// Those that the daemon has.
    static let types = CompletionKind.custom { words, _, _ in
        DaemonOptions.completions(behind: words) { client throws(DaemonClientError) in
            try client.get("/v1/types", as: TypeList.self).types.map(\.name)
        }
    }

    /// Whether they describe a vGPU: by its type, or by a file.
    var isComplete: Bool { type != nil || settings.jsonfile != nil }

    /// - Returns: what they describe; nil when ``isComplete`` is false.
    func definition(_ id: InstanceID?, _ daemon: DaemonOptions) throws -> VGPUDefinition? {
        guard isComplete else { return nil }
        let read = try settings.read(id: id ?? InstanceID(), parent: parent ?? "", type: type)
        if let type, let read, read.type != type {
            throw Failure(.usage, "--type says '\(type)', but the file says '\(read.type)'.")
        }
        let parent = try parent ?? firstParent(of: read?.type ?? type ?? "", daemon)
        var attributes = Dictionary((read?.attributes ?? []).map { ($0.name, $0.value) }) { _, last in last }
        for attribute in try settings.attributes() { attributes[attribute.name] = attribute.value }
        return VGPUDefinition(
            uuid: id.map { "\($0)" }, parent: parent, type: read?.type ?? type ?? "", attributes: attributes,
            autostart: read?.isAutostarted, owner: try settings.ownerNumbers())
    }

    /// The first parent that backs a type; any for a type that there isn't, of which the daemon tells.
    private func firstParent(of type: String, _ daemon: DaemonOptions) throws(Failure) -> String {
        let types = try daemon.ask { client throws(DaemonClientError) in
            try client.get("/v1/types", as: TypeList.self).types
        }
        let parents = types.first { $0.name == type }?.parents ?? types.flatMap(\.parents)
        return parents.first?.parent ?? "cpu"
    }
}

/// What can be set of a vGPU, when it is made and later.
struct SettingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Read the definition from a file with mdevctl's JSON.", valueName: "file"),
        completion: .file())
    var jsonfile: String?

    @Option(
        help: ArgumentHelp(
            "An attribute: an option of the device, or a limit; may be repeated.", valueName: "name=value"))
    var attribute: [String] = []

    @Option(
        help: ArgumentHelp(
            "Who may be its client: a user, a group, or both; names or numbers.", valueName: "user[:group]"))
    var owner: String?

    func attributes() throws(Failure) -> [Attribute] {
        var attributes: [Attribute] = []
        for word in attribute {
            guard let sign = word.firstIndex(of: "="), sign > word.startIndex else {
                throw Failure(.usage, "The attribute '\(word)' must be NAME=VALUE, such as vram=32M.")
            }
            attributes.append(Attribute(String(word[..<sign]), String(word[word.index(after: sign)...])))
        }
        return attributes
    }

    func ownerNumbers() throws(Failure) -> VGPU.Owner? {
        guard let owner else { return nil }
        return try VGPU.Owner(argument: owner)
    }

    /// What the file says.
    ///
    /// - Parameter type: when the file names none.
    /// - Returns: nil when there is no file.
    func read(id: InstanceID, parent: String, type: String?) throws(Failure) -> Instance? {
        guard let jsonfile else { return nil }
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try Descriptor(reading: jsonfile).readBytes(upTo: Self.fileLimit)
        } catch {
            throw Failure(error, cannot: "read the definition", jsonfile, otherwise: .noInput)
        }
        do {
            return try Instance(mdevctl: JSON(parsing: bytes), id: id, parent: parent, type: type)
        } catch let error as MediationError {
            throw Failure(.usage, "'\(jsonfile)': \(error.description)")
        } catch {
            throw Failure(.usage, "'\(jsonfile)' is no JSON: \(error).")
        }
    }

    /// The most bytes of a definition that the daemon takes.
    private static let fileLimit = 1 << 20
}
