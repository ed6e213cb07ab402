import ArgumentParser
import Control
import DaemonAPI
import DaemonClient
import JSON
import Mediation

/// `mediated show`
struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Show all that is known of a vGPU, the last lines of its log, and its process's last events if that died.")

    @OptionGroup var vgpu: VGPUArgument

    @Flag(help: "Print JSON: an object.")
    var json = false

    @OptionGroup var daemon: DaemonOptions

    /// How many lines of the log.
    private static let lines = 10

    func validate() throws { _ = try vgpu.required() }

    func run() throws {
        let id = try vgpu.required()
        let (vgpu, log, info, dead) = try daemon.ask { client throws(DaemonClientError) in
            let vgpu = try client.vgpu(id)
            let log = try client.get("/v1/vgpus/\(id)/log?lines=\(Self.lines)", as: LogLines.self)
            // A process that has just died, or hangs, tells nothing; that is in the state and the log.
            let info = vgpu.pid == nil ? nil : try? client.get("/v1/vgpus/\(id)/info", as: ControlInfo.self)
            // Most have none.
            let dead = try? client.recording(of: id, .dead)
            return (vgpu, log.lines, info, dead)
        }
        let last = dead.flatMap { try? LastEvents($0, ofType: info?.type ?? vgpu.type) }
        if json {
            guard case .object(var members) = try vgpu.json else { return }
            members["log"] = .array(log.map(JSON.string))
            if let info { members["clientConnected"] = .bool(info.clientConnected) }
            if let info { members["uptimeSeconds"] = .number(info.uptimeSeconds) }
            if let last { members["lastEvents"] = last.json }
            return Output.print(json: .object(members))
        }
        let attributes = vgpu.sortedAttributes.map(\.word).joined(separator: " ")
        var rows = [
            ["uuid", vgpu.uuid],
            ["parent", vgpu.parent],
            ["type", vgpu.type],
            ["state", vgpu.state],
            ["start", vgpu.start ?? "not defined: gone when it stops"],
            ["attributes", attributes.isEmpty ? "none" : attributes],
            ["owner", vgpu.owner?.description ?? "the daemon's user"],
            ["restarts", "\(vgpu.restarts)"],
        ]
        if let generation = vgpu.generation { rows.append(["generation", "\(generation)"]) }
        if let socket = vgpu.socket { rows.append(["socket", socket]) }
        if let domain = vgpu.domain { rows.append(["domain", domain.description]) }
        if let pid = vgpu.pid { rows.append(["process", "\(pid)"]) }
        if let info {
            rows.append(["client", info.clientConnected ? "connected" : "none"])
            rows.append(["uptime", "\(Int(info.uptimeSeconds)) s"])
        }
        Output.print(rows.columns())
        if let last {
            Output.print("last events of the process that died")
            Output.print(last.lines.map { "  \($0)" })
        }
        guard !log.isEmpty else { return }
        Output.print("log")
        Output.print(log.map { "  \($0.excerpt)" })
    }
}
