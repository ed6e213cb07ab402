import Control
import Mediation

/// What is kept of vGPUs' last events.
extension Manager {
    /// The memory of a vGPU's flight recorder, as an `EventReader` reads it.
    ///
    /// - Parameter isDead: of the device process that died last since the vGPU was started, not of the one that runs.
    /// - Throws: ``MediationError/Code/notFound`` when there is no such process, or it has no recorder.
    public func recording(of id: InstanceID, isDead: Bool) async throws(MediationError) -> [UInt8] {
        let instance = try registry.instance(id)
        guard let file = recorders.file(of: id, isDead: isDead) else {
            let why =
                isDead
                ? "No device process of the vGPU \(id) has died since it was started"
                : instance.isActive
                    ? "The device process of the vGPU \(id) records nothing" : "The vGPU \(id) doesn't run"
            throw MediationError(.notFound, "\(why).")
        }
        do { return try await blocking { try file.bytes() } } catch {
            throw MediationError(.failed, "The recorder of the vGPU \(id) can't be read: \(error)")
        }
    }

    /// Asks a device process that serves for its recorder's memory.
    func keepRecorder(of id: InstanceID, _ process: WatchedProcess) async {
        guard configuration.hasRecorders else { return }
        do throws(MediationError) {
            let file = try await questions.askAtOnce(id) { try $0.recorder() }
            // Another may be in its place meanwhile.
            if processes[id]?.process === process { recorders.keep(file, of: id, process) }
        } catch {
            // One of an earlier version has none. The vGPU goes on without.
            ledger.warn("The device process of the vGPU \(id) records nothing: \(error)")
        }
    }
}
