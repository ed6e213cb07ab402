import Control
import Linux
import Mediation

/// The memory of vGPUs' flight recorders. It is kept here, so that it outlives the device processes that write it: what
/// one was about when it died is seen afterwards.
final class Recorders: Sendable {
    private struct Files {
        var running: (process: WatchedProcess, file: AttachedFile)?
        /// Of the process that died last; nil also when that had none.
        var dead: AttachedFile?
    }

    private let files = Locked<[InstanceID: Files]>([:])

    /// Keeps that of a process which serves.
    func keep(_ file: AttachedFile, of id: InstanceID, _ process: WatchedProcess) {
        files.withLock { $0[id, default: Files()].running = (process, file) }
    }

    /// A process has ended.
    ///
    /// - Parameter hasDied: nobody has told it to.
    func end(_ process: WatchedProcess, of id: InstanceID, hasDied: Bool) {
        files.withLock { files in
            let running = files[id]?.running
            let isItsOwn = running?.process === process
            if hasDied { files[id, default: Files()].dead = isItsOwn ? running?.file : nil }
            if isItsOwn { files[id]?.running = nil }
        }
    }

    /// The vGPU was stopped, or is started anew.
    func forget(_ id: InstanceID) {
        files.withLock { $0[id] = nil }
    }

    /// - Parameter isDead: of the process that died last, not of the one that runs.
    func file(of id: InstanceID, isDead: Bool) -> AttachedFile? {
        files.withLock { isDead ? $0[id]?.dead : $0[id]?.running?.file }
    }
}
