import Glibc
import Linux
import Mediation

/// Ending vGPUs, and their device processes.
extension Manager {
    /// Ends a vGPU. `mdevctl stop`
    ///
    /// - Parameter generation: the start that is meant, so that whoever comes late stops nobody else's; nil: whichever
    ///   it is.
    public func stop(_ id: InstanceID, generation: Int? = nil) async throws(MediationError) -> Instance {
        try await turns.take(id) { () async throws(MediationError) in
            let instance = try registry.instance(id)
            guard instance.isActive else { throw MediationError(.conflict, "The vGPU \(id) doesn't run.") }
            if let generation, generation != instance.generation {
                let asked =
                    generation < instance.generation ? "every earlier one is over" : "it has had no start \(generation)"
                throw MediationError(.conflict, "The vGPU \(id) runs since its start \(instance.generation): \(asked).")
            }
            if let identity = instance.process { try await endProcess(identity, of: id) }
            return try await finishStop(instance, "Stopped")
        }
    }

    private func endProcess(_ identity: ProcessIdentity, of id: InstanceID) async throws(MediationError) {
        guard let process = processes[id]?.process, process.identity == identity else {
            return try endUnwatched(identity)
        }
        processes.markToStop(id)
        guard await end(process, of: id) else {
            throw MediationError(
                .busy,
                "The device process \(identity.id) has not ended yet, though it was killed: the kernel holds it. "
                    + "The vGPU \(id) is stopped as soon as it ends.")
        }
    }

    /// Takes note that an instance is stopped, whose device process has ended.
    @discardableResult
    func finishStop(_ instance: Instance, _ reason: String) async throws(MediationError) -> Instance {
        var instance = instance
        recorders.forget(instance.id)
        await inAnyCase { [launcher, instance] in
            launcher.clean(instance.id)
            launcher.removeSavedState(of: instance.id)
        }
        if let slot = instance.slot { await release(slot, of: instance.id) }
        instance.end(.stopped)
        try await save(
            instance, orRemoveAs: .stopped, instance.isDefined ? "\(reason)." : "\(reason), and gone.")
        return instance
    }

    /// Has a process end, in order if it can, within a set time.
    ///
    /// - Returns: false when it is still there, and supervised: one that sleeps in the kernel can't even be killed.
    func end(_ process: WatchedProcess, of id: InstanceID) async -> Bool {
        // SIGTERM does what the control socket's request does, and needs nobody who listens.
        for signal in [SIGTERM, SIGKILL] where !process.hasEnded {
            do throws(Errno) { try process.send(signal) } catch {
                // Another user's, which no device process of this daemon is. It may end by itself, and whoever asked is
                // told when it doesn't.
            }
            _ = await process.ends(within: configuration.endLimit)
        }
        guard process.hasEnded else { return false }
        forget(process, of: id)
        return true
    }

    /// Ends a process that can't be watched.
    private func endUnwatched(_ identity: ProcessIdentity) throws(MediationError) {
        do throws(Errno) {
            try identity.handle().send(SIGKILL)
        } catch .noSuchProcess {
            // As it should be.
        } catch {
            throw MediationError(
                .failed, "The device process \(identity.id) can't be ended: \(error). Try again, or end it yourself.")
        }
    }
}
