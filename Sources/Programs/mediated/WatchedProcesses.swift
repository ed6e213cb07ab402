import ArgumentParser
import DaemonAPI
import DaemonClient
import Mediation

/// Which device processes a command watches.
struct WatchedProcesses: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "The vfio-user sockets of device processes on this host, or UUIDs of vGPUs. [default: all that the daemon runs]",
            valueName: "sockets"),
        completion: .file())
    var names: [String] = []

    @OptionGroup var daemon: DaemonOptions

    func validate() throws {
        var seen: Set<String> = []
        for name in names where !seen.insert(name).inserted {
            throw ValidationError("'\(name)' is named twice.")
        }
    }

    /// Those that were named.
    func named() throws(Failure) -> [Watched] {
        try names.map { name throws(Failure) in
            guard let id = InstanceID(name) else { return .socket(name) }
            return .vgpu(id, daemon: try daemon.directories().daemon)
        }
    }
}

extension Watched {
    /// All vGPUs that the daemon at `path` runs now.
    static func all(ofDaemon path: String) throws(DaemonClientError) -> [Watched] {
        let vgpus = try DaemonClient(path: path, patience: .seconds(10)).get("/v1/vgpus", as: VGPUList.self).vgpus
        return vgpus.filter { $0.state == "running" }.compactMap { InstanceID($0.uuid) }
            .map { .vgpu($0, daemon: path) }
    }
}
