import ArgumentParser
import DaemonAPI
import DaemonClient
import Mediation

/// `mediated modify`
struct Modify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Change a vGPU.",
        discussion: """
            While it is active its limits can be changed, and take effect at once: the attributes weight, frame-rate and \
            vram. Everything else can be changed while it is stopped.
            """)

    @OptionGroup var vgpu: VGPUArgument

    @Option(name: .shortAndLong, help: "The parent that it must have.")
    var parent: String?

    @Option(name: .shortAndLong, help: "The new type.", completion: DefinitionOptions.types)
    var type: String?

    @OptionGroup var settings: SettingOptions

    @Option(help: ArgumentHelp("Set an attribute to --value.", valueName: "name"))
    var addattr: String?

    @Flag(help: "Remove the attribute --index, or the last one.")
    var delattr = false

    @Option(name: .shortAndLong, help: "Which attribute: its number in 'mediated list -v'.")
    var index: Int?

    @Option(help: "The attribute's value.")
    var value: String?

    @Flag(name: .shortAndLong, help: "Start it when the host boots.")
    var auto = false

    @Flag(name: .shortAndLong, help: "Don't start it when the host boots.")
    var manual = false

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        _ = try vgpu.required()
        guard !auto || !manual else { throw ValidationError("--auto and --manual exclude each other.") }
        guard addattr == nil || !delattr else { throw ValidationError("--addattr and --delattr exclude each other.") }
        guard (addattr == nil) == (value == nil) else {
            throw ValidationError("--addattr and --value go together.")
        }
        guard index == nil || delattr else { throw ValidationError("--index goes with --delattr.") }
        let isNothing =
            type == nil && !auto && !manual && addattr == nil && !delattr && settings.attribute.isEmpty
            && settings.owner == nil && settings.jsonfile == nil
        guard !isNothing else { throw ValidationError("There is nothing to change: give --attribute or the like.") }
    }

    func run() throws {
        let id = try vgpu.required()
        try daemon.check(id, isOf: parent)
        let change = try change(of: id)
        _ = try daemon.ask { client throws(DaemonClientError) in
            try client.patch("/v1/vgpus/\(id)", change, as: VGPU.self)
        }
    }

    private func change(of id: InstanceID) throws -> VGPUChange {
        var change = VGPUChange(
            type: type, autostart: auto ? true : manual ? false : nil, owner: try settings.ownerNumbers())
        var attributes: [String: String?] = [:]
        if delattr || settings.jsonfile != nil {
            let vgpu = try daemon.ask { client throws(DaemonClientError) in try client.vgpu(id) }
            if delattr { attributes[try attribute(of: vgpu)] = .some(nil) }
            if let read = try settings.read(id: id, parent: vgpu.parent, type: vgpu.type) {
                // The file is the whole definition: what it doesn't name goes.
                for name in vgpu.attributes.keys { attributes[name] = .some(nil) }
                for attribute in read.attributes { attributes[attribute.name] = attribute.value }
                change.type = type ?? read.type
                change.autostart = change.autostart ?? read.isAutostarted
            }
        }
        if let addattr { attributes[addattr] = value }
        for attribute in try settings.attributes() { attributes[attribute.name] = attribute.value }
        if !attributes.isEmpty { change.attributes = attributes }
        return change
    }

    /// The name of the one to remove.
    private func attribute(of vgpu: VGPU) throws(Failure) -> String {
        let attributes = vgpu.sortedAttributes
        let number = index ?? attributes.count - 1
        guard attributes.indices.contains(number) else {
            let range = attributes.isEmpty ? "it has none" : "it has those from 0 to \(attributes.count - 1)"
            throw Failure(.usage, "The vGPU \(vgpu.uuid) has no attribute \(max(0, number)): \(range).")
        }
        return attributes[number].name
    }
}
