import Mediation

/// What vGPUs are to be.
extension Manager {
    /// Adds an instance that outlasts its end. `mdevctl define`
    public func define(_ instance: Instance) async throws(MediationError) -> Instance {
        try await turns.take(instance.id) { () async throws(MediationError) in
            try catalogue.check(instance)
            if let present = registry.find(instance.id) { return try await define(instance, runningAs: present) }
            var instance = instance
            instance.state = .stopped
            instance.process = nil
            instance.isDefined = true
            return try await claims.holding(instance) { () async throws(MediationError) in
                try await registry.save(instance, .defined, "Defined as a \(instance.type) of \(instance.parent).")
                return instance
            }
        }
    }

    /// One that runs without a definition gets it now.
    private func define(
        _ instance: Instance, runningAs present: Instance
    ) async throws(MediationError) -> Instance {
        guard !present.isDefined, present.parent == instance.parent, present.type == instance.type else {
            throw MediationError(
                .conflict, "There is a vGPU \(instance.id) already. Undefine it first, or choose another UUID.")
        }
        var defined = present
        defined.isDefined = true
        defined.isAutostarted = instance.isAutostarted
        try await registry.save(defined, .defined, "Defined as a \(present.type).")
        return defined
    }

    /// Forgets a definition, or an instance without one that was given up; a running instance runs on until it is
    /// stopped. `mdevctl undefine`
    public func undefine(_ id: InstanceID) async throws(MediationError) {
        try await turns.take(id) { () async throws(MediationError) in
            var instance = try registry.instance(id)
            guard instance.isDefined || !instance.isActive else {
                throw MediationError(.conflict, "The vGPU \(id) has no definition: it is gone when it stops.")
            }
            instance.isDefined = false
            if instance.isActive {
                try await registry.save(instance, .undefined, "Undefined while it runs.")
            } else {
                try await remove(instance, .undefined, "Undefined.")
            }
        }
    }

    /// Changes an instance. While it runs only its limits can change, and do so at once. `mdevctl modify`
    public func modify(_ id: InstanceID, _ change: Modification) async throws(MediationError) -> Instance {
        try await turns.take(id) { () async throws(MediationError) in
            let before = try registry.instance(id)
            var after = change.applied(to: before)
            try catalogue.check(after)
            if before.isActive {
                after.aperture = try catalogue.aperture(of: before, for: after)
                try await modifyLive(before, after)
            } else {
                try await registry.save(after, .modified, "Modified.")
            }
            return after
        }
    }

    // MARK: What is gone

    /// Forgets an instance, in its turn, with all that is kept of it.
    private func remove(
        _ instance: Instance, _ kind: JournalEntry.Kind, _ message: String, otherwise: String = Ledger.unchanged
    ) async throws(MediationError) {
        try await registry.remove(instance, kind, message, otherwise: otherwise)
        recorders.forget(instance.id)
        await inAnyCase { [launcher] in launcher.forget(instance.id) }
    }

    /// Stores an instance that isn't active any more, in its turn; one without a definition is gone.
    func save(
        _ instance: Instance, orRemoveAs kind: JournalEntry.Kind, _ message: String
    ) async throws(MediationError) {
        let otherwise = "Its device process has ended, but it counts as active until it is stopped again"
        if instance.isDefined {
            try await registry.save(instance, kind, message, otherwise: otherwise)
        } else {
            try await remove(instance, kind, message, otherwise: otherwise)
        }
    }
}
