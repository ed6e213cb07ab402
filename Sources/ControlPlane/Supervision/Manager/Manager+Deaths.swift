import Linux
import Mediation

/// What becomes of a vGPU whose device process is gone.
extension Manager {
    /// Called when a process has ended, for whatever reason.
    func died(_ id: InstanceID, _ process: WatchedProcess, _ outcome: ProcessOutcome) async {
        await turns.take(id) {
            // Whoever has ended it has seen to all that follows.
            guard processes[id]?.process === process else { return }
            recorders.end(process, of: id, hasDied: true)
            guard let dead = forget(process, of: id), let instance = registry.find(id) else { return }
            if dead.isToStop { return await finishLateStop(instance) }
            let tooMuch = await inAnyCase { [launcher] in
                defer { launcher.clean(id) }
                return (launcher.groups?.outOfMemoryKills(of: id) ?? 0) > 0
            }
            let why = tooMuch ? ", as it took more memory than it may" : ""
            await replace(
                instance, because: "Its device process \(process.identity.id) ended \(outcome)\(why).",
                after: process.since.duration(to: .now), dead.backOff)
        }
    }

    private func finishLateStop(_ instance: Instance) async {
        do throws(MediationError) {
            try await finishStop(instance, "Stopped, when the kernel had let go of its device process")
        } catch {
            // The next stop finds no process, and finishes it; so does the next manager.
            ledger.warn("The vGPU \(instance.id): \(error)")
        }
    }

    /// Starts another device process in the place of one that is gone, perhaps later. In the vGPU's turn.
    ///
    /// - Parameter age: how long the one that is gone has lived.
    func replace(
        _ instance: Instance, because reason: String, after age: Duration, _ backOff: BackOff = BackOff()
    ) async {
        var next = backOff
        var instance = instance
        let pause = next.wait(after: age)
        do throws(MediationError) {
            if let pause {
                instance.process = nil
                instance.state = .restarting
                instance.restarts += 1
                let when = pause == .zero ? "now" : "in \(pause)"
                try await registry.save(instance, .died, "\(reason) Another one starts \(when).")
            } else {
                if let slot = instance.slot { await release(slot, of: instance.id) }
                instance.end(.failed)
                try await registry.save(
                    instance, .failed, "\(reason) It died \(BackOff.limit) times in a row, and is given up.")
            }
        } catch {
            ledger.warn("The vGPU \(instance.id): \(reason) That can't be written down, and is tried again. \(error)")
            return replaceLater(instance.id, because: reason, after: age, backOff)
        }
        guard let pause else { return }
        // Apart from whoever noticed the death, who may have others to look after.
        Task { [weak self, next, instance] in
            // Nobody cancels it.
            try? await Task.sleep(for: pause)
            await self?.restart(instance, next)
        }
    }

    /// What is stored says that the process is there; it isn't, and nobody is started in its place before that is
    /// stored.
    private func replaceLater(_ id: InstanceID, because reason: String, after age: Duration, _ backOff: BackOff) {
        guard let before = registry.find(id) else { return }
        Task { [weak self, pause = configuration.endLimit] in
            // Nobody cancels it.
            try? await Task.sleep(for: pause)
            guard let self else { return }
            await turns.take(id) {
                // It may have been stopped meanwhile.
                guard let now = registry.find(id), now.isActive, now.generation == before.generation,
                    now.process == before.process, processes[id] == nil
                else { return }
                await replace(now, because: reason, after: age, backOff)
            }
        }
    }

    /// - Parameter before: as it was when its process had died.
    private func restart(_ before: Instance, _ backOff: BackOff) async {
        let id = before.id
        await turns.take(id) {
            // It may have been stopped meanwhile, and wait for another process again since its next start.
            guard let instance = registry.find(id), instance.state == .restarting,
                instance.generation == before.generation, instance.restarts == before.restarts
            else { return }
            do throws(MediationError) {
                _ = try await launch(instance, isRestored: true, backOff: backOff)
            } catch {
                guard var now = registry.find(id) else { return }
                if error.code == .notFound, let slot = now.slot {
                    // Of a domain that is gone nothing is to be waited for.
                    now.slot = nil
                    await ledger.tell(.detached, of: id, "Domain \(slot.domain) is gone: taken out of \(slot.address).")
                }
                await replace(now, because: error.description, after: .zero, backOff)
            }
        }
    }
}
