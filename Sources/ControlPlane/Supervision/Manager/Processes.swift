import Linux
import Mediation

/// A running vGPU's device process, as the manager supervises it.
struct Supervised: Sendable {
    let process: WatchedProcess
    /// How long to wait for the next one, if this one dies.
    let backOff: BackOff
    /// Whether nobody wants another one in its place when it ends.
    var isToStop = false
}

/// The device processes that are supervised, one of a vGPU. They change in their vGPUs' turns.
final class Processes: Sendable {
    private let all = Locked<[InstanceID: Supervised]>([:])

    subscript(id: InstanceID) -> Supervised? { all.withLock { $0[id] } }

    func add(_ supervised: Supervised, of id: InstanceID) { all.withLock { $0[id] = supervised } }

    /// Takes note that nobody wants another one in its place.
    func markToStop(_ id: InstanceID) { all.withLock { $0[id]?.isToStop = true } }

    /// Has done with a process.
    ///
    /// - Returns: what was known of it; nil when others have done with it already.
    func remove(_ process: WatchedProcess, of id: InstanceID) -> Supervised? {
        all.withLock { all in all[id]?.process === process ? all.removeValue(forKey: id) : nil }
    }
}
