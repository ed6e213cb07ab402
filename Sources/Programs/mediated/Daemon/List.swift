import ArgumentParser
import DaemonAPI
import DaemonClient
import JSON
import Mediation

/// `mediated list`
struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List vGPUs: those that are active, or those that are defined.",
        discussion: """
            START is 'auto' for a vGPU that is started when the host boots, 'manual' for one that isn't, and '-' for one \
            that is gone when it stops.
            """)

    @OptionGroup var vgpu: VGPUArgument

    @Flag(name: .shortAndLong, help: "List those that are defined, active or not.")
    var defined = false

    @Option(name: .shortAndLong, help: "List only those of a parent.")
    var parent: String?

    @Flag(name: .shortAndLong, help: "Add attributes, socket or domain, process and owner.")
    var verbose = false

    @Flag(help: "Print mdevctl's JSON; of one vGPU what --jsonfile takes.")
    var dumpjson = false

    @Flag(help: "Print JSON: an array of vGPUs.")
    var json = false

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        guard !json || !dumpjson else { throw ValidationError("--json and --dumpjson exclude each other.") }
    }

    func run() throws {
        let id = vgpu.id.map { "\($0)" }
        let all = try daemon.ask { client throws(DaemonClientError) in
            try client.get("/v1/vgpus", as: VGPUList.self).vgpus
        }
        let chosen = all.filter { vgpu in
            (defined ? vgpu.defined : vgpu.isActive) && (parent ?? vgpu.parent) == vgpu.parent
                && (id ?? vgpu.uuid) == vgpu.uuid
        }
        if json { return Output.print(json: .array(try chosen.map { vgpu throws(Failure) in try vgpu.json })) }
        if dumpjson { return Output.print(json: try mdevctl(chosen)) }
        Output.print(table(chosen))
    }

    /// As mdevctl does: of the vGPU that was asked for its definition, else `[{PARENT: [{UUID: DEFINITION}, …]}]`.
    private func mdevctl(_ vgpus: [VGPU]) throws(Failure) -> JSON {
        if vgpu.id != nil, let only = vgpus.first { return try only.mdevctl }
        var parents: JSON.Object = [:]
        for vgpu in vgpus {
            let child: JSON = .object(JSON.Object([(vgpu.uuid, try vgpu.mdevctl)]))
            parents[vgpu.parent] = .array((parents[vgpu.parent]?.array ?? []) + [child])
        }
        return vgpus.isEmpty ? [] : [.object(parents)]
    }

    /// Nothing at all when there is none.
    private func table(_ vgpus: [VGPU]) -> [String] {
        guard !vgpus.isEmpty else { return [] }
        let rows = vgpus.map { [$0.uuid, $0.parent, $0.type, $0.state, $0.start ?? "-"] }
        let lines = ([["UUID", "PARENT", "TYPE", "STATE", "START"]] + rows).columns()
        guard verbose else { return lines }
        return [lines[0]] + zip(vgpus, lines.dropFirst()).flatMap { vgpu, line in [line] + details(of: vgpu) }
    }

    private func details(of vgpu: VGPU) -> [String] {
        var lines = vgpu.sortedAttributes.enumerated().map { "@\($0.offset) \($0.element.word)" }
        if let socket = vgpu.socket { lines.append("socket \(socket)") }
        if let domain = vgpu.domain { lines.append("domain \(domain)") }
        if let pid = vgpu.pid { lines.append("process \(pid)") }
        if let owner = vgpu.owner { lines.append("owner \(owner)") }
        return lines.map { "  \($0.excerpt)" }
    }
}
