import ArgumentParser
import Control
import DaemonAPI
import DaemonClient
import Mediation

/// `mediated start`
struct Start: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Start a vGPU.",
        discussion: """
            One that is defined is named by its UUID. With a type, or a file, one that isn't defined is started: it is \
            gone when it stops. Without a UUID it gets a new one, which is printed. With --json the vGPU is printed: its \
            generation is what 'mediated stop --start' takes.
            """)

    @OptionGroup var vgpu: VGPUArgument
    @OptionGroup var definition: DefinitionOptions

    @Flag(help: "Print JSON: the vGPU that was started.")
    var json = false

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        guard !definition.isComplete else { return }
        guard vgpu.id != nil else {
            throw ValidationError("Name a vGPU that is defined, or give a type by --type or a file by --jsonfile.")
        }
        guard definition.settings.attribute.isEmpty, definition.settings.owner == nil else {
            throw ValidationError(
                "--attribute and --owner go with --type: what is defined is changed by 'mediated modify'.")
        }
    }

    func run() throws {
        if var transient = try definition.definition(vgpu.id, daemon) {
            transient.transient = true
            let wanted = transient
            let made = try daemon.ask { client throws(DaemonClientError) in
                try client.post("/v1/vgpus", wanted, as: VGPU.self)
            }
            try tell(made, isNew: vgpu.id == nil)
        } else {
            let id = try vgpu.required()
            try daemon.check(id, isOf: definition.parent)
            let started = try daemon.ask { client throws(DaemonClientError) in
                try client.post("/v1/vgpus/\(id)/start", as: VGPU.self)
            }
            try tell(started, isNew: false)
        }
    }

    private func tell(_ vgpu: VGPU, isNew: Bool) throws(Failure) {
        if json { Output.print(json: try vgpu.json) } else if isNew { Output.print(vgpu.uuid.excerpt) }
    }
}

/// `mediated stop`
struct Stop: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop a vGPU, or end a device process.",
        discussion: "The virtual machine that uses it, if any, loses the device.")

    @Argument(
        help: "The vGPU's UUID, or the vfio-user socket of a device process that 'mediated run' has started.",
        completion: .file())
    var target: String?

    @Option(name: .shortAndLong, help: "The vGPU's UUID, as for mdevctl.")
    var uuid: InstanceID?

    @Option(
        help: ArgumentHelp(
            "Stop it only if it runs since this start: the 'generation' of 'mediated start --json'.",
            valueName: "generation"))
    var start: Int?

    @Option(help: "The process's control socket. [default: SOCKET.control]", completion: .file())
    var control: String?

    @OptionGroup var daemon: DaemonOptions

    /// The vGPU that is named, if it is one.
    private var id: InstanceID? { uuid ?? target.flatMap { InstanceID($0) } }

    func validate() throws {
        guard (target == nil) != (uuid == nil) else {
            throw ValidationError("Name what to stop: one UUID, or one socket.")
        }
        guard id == nil || control == nil else { throw ValidationError("--control goes with a socket.") }
        guard id != nil || start == nil else { throw ValidationError("--start goes with a vGPU's UUID.") }
        guard start ?? 0 >= 0 else { throw ValidationError("--start is \(start ?? 0), but must be a generation.") }
    }

    func run() throws {
        if let id {
            _ = try daemon.ask { client throws(DaemonClientError) in
                try client.post("/v1/vgpus/\(id)/stop" + (start.map { "?generation=\($0)" } ?? ""), as: VGPU.self)
            }
        } else if let target {
            do throws(ControlClientError) {
                try ControlClient(connectingTo: control ?? ControlClient.path(besides: target)).stop()
            } catch {
                throw Failure(error)
            }
        }
    }
}
