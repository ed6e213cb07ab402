import DaemonClient
import Linux

/// vGPUs that are looked at together, and what was last seen of them.
struct Lookout: Sendable {
    private(set) var vgpus: [ObservedVGPU]
    /// Where the daemon listens all of whose vGPUs are meant: they come and go.
    private let daemon: String?

    init(_ watched: [Watched]) {
        vgpus = watched.map(ObservedVGPU.init)
        daemon = nil
    }

    /// All vGPUs that the daemon at `path` runs.
    init(daemon path: String) throws(DaemonClientError) {
        vgpus = try Watched.all(ofDaemon: path).map(ObservedVGPU.init)
        daemon = path
    }

    /// Looks again.
    ///
    /// - Parameter limit: how long a process may take to answer.
    mutating func look(within limit: Duration) {
        do throws(DaemonClientError) {
            let watched = if let daemon { try Watched.all(ofDaemon: daemon) } else { vgpus.map(\.watched) }
            take(Observation.all(asking: watched, within: limit))
        } catch {
            take(vgpus.map { Observation($0.watched, time: SystemClock.nanoseconds, .failure(.daemon(error))) })
        }
    }

    private mutating func take(_ observations: [Observation]) {
        vgpus = observations.map { observation in
            var vgpu = vgpus.first { $0.watched == observation.watched } ?? ObservedVGPU(observation.watched)
            vgpu.add(observation)
            return vgpu
        }
    }
}
