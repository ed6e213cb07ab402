import Control
import Linux
import Mediation

/// Starting vGPUs, and their device processes.
extension Manager {
    /// Starts a defined instance. `mdevctl start -u`
    public func start(_ id: InstanceID) async throws(MediationError) -> Instance {
        try await turns.take(id) { () async throws(MediationError) in
            try await startInTurn(try registry.instance(id))
        }
    }

    /// Starts an instance that is gone when it stops. `mdevctl start -p -t`
    public func startTransient(_ instance: Instance) async throws(MediationError) -> Instance {
        try await turns.take(instance.id) { () async throws(MediationError) in
            guard registry.find(instance.id) == nil else {
                throw MediationError(.conflict, "There is a vGPU \(instance.id) already. Choose another UUID.")
            }
            var instance = instance
            instance.isDefined = false
            try catalogue.check(instance)
            return try await startInTurn(instance)
        }
    }

    private func startInTurn(_ instance: Instance) async throws(MediationError) -> Instance {
        guard !instance.isActive else {
            throw MediationError(.conflict, "The vGPU \(instance.id) is \(instance.state.rawValue) already.")
        }
        try catalogue.check(instance)
        recorders.forget(instance.id)
        var wanted = instance
        wanted.grant = try catalogue.grant(of: instance)
        wanted.restarts = 0
        wanted.generation = registry.nextGeneration()
        wanted.state = .running
        return try await claims.holding(wanted) { [wanted] () async throws(MediationError) in
            do throws(MediationError) {
                return try await launch(wanted, isRestored: false, backOff: BackOff())
            } catch {
                // What wasn't stored has left nothing.
                if var stored = registry.find(wanted.id), stored.isActive {
                    stored.end(.stopped)
                    try await save(stored, orRemoveAs: .failed, error.description)
                }
                throw MediationError(error.code, "The vGPU \(wanted.id) can't be started. \(error)")
            }
        }
    }

    /// Starts a device process for what was granted, in the vGPU's turn, and waits until it serves. It isn't there when
    /// this throws; what is stored may say so still.
    ///
    /// - Throws: ``MediationError/Code/notFound`` when it was to be in a domain that isn't there.
    func launch(
        _ instance: Instance, isRestored: Bool, backOff: BackOff
    ) async throws(MediationError) -> Instance {
        let lease = try users.lease(for: instance.id)
        let started = try await begin(try order(instance, user: lease?.user, isRestored: isRestored))
        let id = instance.id
        var instance = instance
        instance.state = .running
        instance.process = started.identity
        do throws(MediationError) {
            // It is known for good before it serves: whatever happens from here on, it is found again.
            let how = started.isRestored ? " from the saved state" : ""
            let place = instance.slot.map { ", in \($0)" } ?? ""
            try await registry.save(instance, .started, "Device process \(started.identity.id) started\(how)\(place).")
            {
                started.release()
            }
        } catch {
            launcher.end(started.identity.id, keeping: lease)
            await inAnyCase { [launcher] in launcher.clean(id) }
            throw error
        }
        var process: WatchedProcess?
        do {
            let new = try supervise(id, started.identity, lease, backOff: backOff)
            process = new
            _ = try await questions.askAtOnce(id) { try $0.info() }
            await keepRecorder(of: id, new)
            return instance
        } catch {
            await giveUp(started.identity, of: id, lease)
            let lastWords = await inAnyCase { [launcher] in
                defer { launcher.clean(id) }
                return launcher.lastWords(of: id)
            }
            let code: MediationError.Code =
                process?.outcome == .status(DeviceArguments.noDomain) ? .notFound : .failed
            throw MediationError(code, "Its device process can't serve: \(lastWords ?? "\(error)")")
        }
    }

    private func order(
        _ instance: Instance, user: UInt32?, isRestored: Bool
    ) throws(MediationError) -> DeviceLauncher.Order {
        let device = try catalogue.device(of: instance)
        return DeviceLauncher.Order(
            id: instance.id, generation: instance.generation, device: device.name, options: device.options,
            owner: instance.owner, slot: instance.slot, user: user,
            group: try catalogue.grant(of: instance).renderGroup, limits: try catalogue.limits(of: instance),
            isRestored: isRestored)
    }

    private func begin(_ order: DeviceLauncher.Order) async throws(MediationError) -> DeviceLauncher.Started {
        do { return try await blocking { [launcher] in try launcher.start(order) } } catch {
            throw MediationError(.failed, "\(error)")
        }
    }

    /// Ends a process that doesn't serve.
    private func giveUp(_ identity: ProcessIdentity, of id: InstanceID, _ lease: Users.Lease?) async {
        guard let process = processes[id]?.process, process.identity == identity else {
            return launcher.end(identity.id, keeping: lease)
        }
        // One that doesn't end has never served anybody, and is nobody's from here on.
        if await !end(process, of: id) { forget(process, of: id) }
    }

    // MARK: Supervision

    /// Begins to supervise a process, in its vGPU's turn.
    ///
    /// - Parameters:
    ///   - lease: of the user whom it has alone.
    ///   - known: when the last event of this process happened that is in the journal; 0: none is.
    /// - Throws: `.noSuchProcess` when it is gone already. Any other error says that it can't be watched, and nothing
    ///   of it.
    @discardableResult
    func supervise(
        _ id: InstanceID, _ identity: ProcessIdentity, _ lease: Users.Lease?, backOff: BackOff = BackOff(),
        after known: Double = 0
    ) throws(Errno) -> WatchedProcess {
        let process = WatchedProcess(identity, try identity.handle(), lease)
        processes.add(Supervised(process: process, backOff: backOff), of: id)
        checkpoints.begin(id, process)
        let notes = EventNotes(of: id, after: known)
        watch.add(process, control: directories.control(of: id)) { [weak self] events in
            await self?.note(events, notes, of: process, id)
        } onEnd: { [weak self] outcome in
            Task { await self?.died(id, process, outcome) }
        }
        return process
    }

    /// Has done with a process, in its vGPU's turn.
    ///
    /// - Returns: what was known of it; nil when others have done with it already.
    @discardableResult
    func forget(_ process: WatchedProcess, of id: InstanceID) -> Supervised? {
        watch.unfollow(process)
        recorders.end(process, of: id, hasDied: false)
        checkpoints.end(id, process)
        return processes.remove(process, of: id)
    }

    private func note(
        _ events: ControlEvents, _ notes: EventNotes, of process: WatchedProcess, _ id: InstanceID
    ) async {
        // One that is gone isn't heard any more.
        guard processes[id]?.process === process else { return }
        let client = notes.client(in: events)
        if let client { checkpoints.note(id, process, isInUse: client.isThere) }
        async let told: Void = ledger.tell(notes.entries(of: events))
        if let client, client.hasLeft {
            if !client.isThere, registry.find(id)?.slot != nil {
                await takeBack(id, process)
            } else {
                // What the client has left behind is what the next one finds.
                await checkpoints.request(id, process)
            }
        }
        await told
    }
}
