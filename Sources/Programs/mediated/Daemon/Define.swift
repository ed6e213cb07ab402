import ArgumentParser
import DaemonAPI
import DaemonClient
import Mediation

/// `mediated define`
struct Define: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Define a vGPU, which outlasts the end of its process and of the host.",
        discussion: """
            Without a UUID it gets a new one, which is printed. With nothing but the UUID of a vGPU that was started \
            without a definition, that one gets it.
            """)

    @OptionGroup var vgpu: VGPUArgument
    @OptionGroup var definition: DefinitionOptions

    @Flag(name: .shortAndLong, help: "Start it when the host boots.")
    var auto = false

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        guard definition.isComplete || vgpu.id != nil else {
            throw ValidationError("Give a type by --type, or a file by --jsonfile.")
        }
    }

    func run() throws {
        var definition = try definition.definition(vgpu.id, daemon) ?? ofRunning()
        if auto { definition.autostart = true }
        let wanted = definition
        let made = try daemon.ask { client throws(DaemonClientError) in
            try client.post("/v1/vgpus", wanted, as: VGPU.self)
        }
        if vgpu.id == nil { Output.print(made.uuid.excerpt) }
    }

    /// The definition of a vGPU that runs without one.
    private func ofRunning() throws -> VGPUDefinition {
        let id = try vgpu.required()
        let running = try daemon.ask { client throws(DaemonClientError) in try client.vgpu(id) }
        return VGPUDefinition(uuid: running.uuid, parent: running.parent, type: running.type)
    }
}

/// `mediated undefine`
struct Undefine: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forget the definition of a vGPU.",
        discussion: "One that is active goes on until it is stopped.")

    @OptionGroup var vgpu: VGPUArgument

    @Option(name: .shortAndLong, help: "The parent that it must have.")
    var parent: String?

    @OptionGroup var daemon: DaemonOptions

    func validate() throws { _ = try vgpu.required() }

    func run() throws {
        let id = try vgpu.required()
        try daemon.check(id, isOf: parent)
        try daemon.ask { client throws(DaemonClientError) in try client.delete("/v1/vgpus/\(id)") }
    }
}

extension DaemonOptions {
    /// Whether a vGPU has the parent that was named, if one was.
    func check(_ id: InstanceID, isOf parent: String?) throws(Failure) {
        guard let parent else { return }
        let vgpu = try ask { client throws(DaemonClientError) in try client.vgpu(id) }
        guard vgpu.parent == parent else {
            throw Failure(.noInput, "The vGPU \(id) is none of parent '\(parent)' but of '\(vgpu.parent)'.")
        }
    }
}
