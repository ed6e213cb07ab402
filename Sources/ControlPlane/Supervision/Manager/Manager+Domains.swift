import Control
import Linux
import Mediation
import PCI
import XenSlot

/// vGPUs in the slots of Xen domains. A vGPU goes there, and comes back, by its saved state: another device process
/// goes on with that.
extension Manager {
    /// Puts a running vGPU that has no client into a slot of a domain.
    ///
    /// The domain's guest isn't told: it finds the vGPU when it boots, or looks for new devices.
    ///
    /// - Parameters:
    ///   - domain: one of ``DomainSlot/domains``.
    ///   - address: nil: the first of ``DomainSlot/addresses`` that no other vGPU has.
    /// - Throws: ``MediationError/Code/conflict`` when it doesn't run, has a client, or can't be in the slot;
    ///   ``MediationError/Code/notFound`` when there is no such domain. It is on its socket, as before, whatever is
    ///   thrown.
    public func attach(
        _ id: InstanceID, to domain: UInt16, at address: FunctionAddress? = nil
    ) async throws(MediationError) -> Instance {
        guard DomainSlot.domains.contains(domain) else {
            throw MediationError(
                .invalid,
                "The domain is \(domain) but must be from \(DomainSlot.domains.lowerBound) to "
                    + "\(DomainSlot.domains.upperBound).")
        }
        return try await turns.take(id) { () async throws(MediationError) in
            let instance = try registry.instance(id)
            guard instance.state == .running else {
                let wayOut = instance.isActive ? "try again when it runs" : "start it with 'mediated start \(id)'"
                throw MediationError(.conflict, "The vGPU \(id) is \(instance.state.rawValue): \(wayOut).")
            }
            if let slot = instance.slot {
                throw MediationError(
                    .conflict, "The vGPU \(id) is in \(slot) already: take it out with 'mediated detach \(id)'.")
            }
            return try await claims.holdingSlot(of: instance, in: domain, at: address) {
                slot async throws(MediationError) in
                try await letGoWithoutClient(instance)
                return try await enter(slot, instance)
            }
        }
    }

    /// Takes a vGPU out of its domain's slot. The guest isn't asked.
    ///
    /// - Throws: ``MediationError/Code/conflict`` when it is in none.
    public func detach(_ id: InstanceID) async throws(MediationError) -> Instance {
        try await turns.take(id) { () async throws(MediationError) in
            let instance = try registry.instance(id)
            guard let slot = instance.slot else {
                throw MediationError(
                    .conflict,
                    "The vGPU \(id) is in no slot of a domain. Out of a QEMU it is taken by 'mediated detach \(id) --qmp'."
                )
            }
            guard instance.state == .running else {
                // Its next process comes soon, and not there.
                await release(slot, of: id)
                var next = instance
                next.slot = nil
                try await registry.save(next, .detached, "Taken out of \(slot), where its device process had died.")
                return next
            }
            try await letGo(instance)
            return try await comeBack(instance, "Taken out of \(slot).")
        }
    }

    /// Takes a vGPU back whose domain has ended, as its device process tells.
    func takeBack(_ id: InstanceID, _ process: WatchedProcess) async {
        await turns.take(id) {
            // Somebody may have been faster.
            guard processes[id]?.process === process, let instance = registry.find(id), instance.state == .running,
                let slot = instance.slot
            else { return }
            do {
                try await checkpoints.saveNow(instance, process)
            } catch {
                await ledger.tell(
                    .failed, of: id, "Its state can't be saved, and it goes on from what was saved before: \(error)")
            }
            // One that is held by the kernel is replaced when it ends; its domain isn't found then.
            guard await end(process, of: id) else { return }
            await inAnyCase { [launcher] in launcher.clean(id) }
            do throws(MediationError) {
                _ = try await comeBack(instance, "Domain \(slot.domain) has ended: taken out of \(slot.address).")
            } catch {
                // Another process is tried.
            }
        }
    }

    // MARK: In the vGPU's turn

    /// Has Xen forget what a vGPU has left in a slot for which no process of its comes any more. How the last one has
    /// ended doesn't count: a hostile guest may have taken it over.
    func release(_ slot: DomainSlot, of id: InstanceID) async {
        do {
            try await blocking { [launcher, configuration] in
                try launcher.release(slot, within: configuration.endLimit)
            }
        } catch {
            await ledger.tell(.failed, of: id, "What it has left in its domain may hold that up: \(error)")
        }
    }

    /// As ``letGo(_:)``, unless a client is there. None more can connect meanwhile. One that had connected before, and
    /// whom the device process accepts only after it was asked, isn't seen: it loses its connection, as when a device
    /// process dies.
    private func letGoWithoutClient(_ instance: Instance) async throws(MediationError) {
        let id = instance.id
        do {
            try await blocking { [launcher] in try launcher.closeSocket(of: id) }
        } catch {
            throw MediationError(.failed, "The vGPU \(id) stays where it is. \(error)")
        }
        do throws(MediationError) {
            guard try await !questions.ask(id, { try $0.info().clientConnected }) else {
                throw MediationError(
                    .conflict, "The vGPU \(id) has a client, such as a virtual machine: take it from that first.")
            }
            try await letGo(instance)
        } catch {
            await inAnyCase { [launcher] in launcher.openSocket(of: id) }
            throw error
        }
    }

    /// Saves the vGPU's state, and ends its device process.
    ///
    /// - Throws: why it stays where it is.
    private func letGo(_ instance: Instance) async throws(MediationError) {
        let id = instance.id
        guard let process = processes[id]?.process, process.identity == instance.process else {
            throw MediationError(.busy, "The device process of the vGPU \(id) can't be watched just now. Try again.")
        }
        do {
            try await checkpoints.saveNow(instance, process)
        } catch {
            throw MediationError(.failed, "The vGPU \(id) stays where it is, as its state can't be saved: \(error)")
        }
        guard await end(process, of: id) else {
            throw MediationError(
                .busy,
                "The device process \(process.identity.id) has not ended yet, though it was killed: the kernel holds it. "
                    + "The vGPU \(id) stays where it is.")
        }
        await inAnyCase { [launcher] in launcher.clean(id) }
    }

    /// Starts the device process of a vGPU that was let go in a slot, or else on its socket again.
    private func enter(_ slot: DomainSlot, _ instance: Instance) async throws(MediationError) -> Instance {
        var placed = instance
        placed.slot = slot
        do throws(MediationError) {
            placed = try await launch(placed, isRestored: true, backOff: BackOff())
        } catch {
            let reason = "It can't be in \(slot). \(error)"
            _ = try await comeBack(placed, reason, as: .failed)
            let code: MediationError.Code = error.code == .notFound ? .notFound : .conflict
            throw MediationError(code, "\(reason) The vGPU \(instance.id) is on its socket again.")
        }
        await ledger.tell(.attached, of: instance.id, "Put into \(slot).")
        return placed
    }

    /// Starts the device process of a vGPU that was let go on its socket, and out of its slot. When it throws, another
    /// one is tried soon.
    ///
    /// - Parameter reason: why, for the journal.
    private func comeBack(
        _ instance: Instance, _ reason: String, as kind: JournalEntry.Kind = .detached
    ) async throws(MediationError) -> Instance {
        if let slot = instance.slot { await release(slot, of: instance.id) }
        var instance = instance
        instance.slot = nil
        await ledger.tell(kind, of: instance.id, reason)
        do throws(MediationError) {
            return try await launch(instance, isRestored: true, backOff: BackOff())
        } catch {
            await replace(instance, because: error.description, after: .zero)
            throw MediationError(
                error.code, "\(reason) The vGPU \(instance.id) can't be on its socket, which is tried again: \(error)")
        }
    }
}
