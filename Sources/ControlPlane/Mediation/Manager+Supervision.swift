import Control
import Glibc
import Linux

/// Starting, stopping, adopting and replacing device processes.
extension Manager {
    /// Takes up the work. When it returns, the device processes that run are adopted; those that have died meanwhile are about
    /// to be replaced, and, the first time after a boot, what is to be started then about to be started. The folders must be
    /// there (``Directories/make()``).
    public func begin() async throws(MediationError) {
        let (stored, lastBoot) = try load()
        removeLeftovers()
        let boot = (try? ProcessIdentity.currentBoot()) ?? ""
        let active = stored.filter(\.isActive)
        for instance in active { await turns.begin(instance.id) }
        await takeUp(active, boot: boot)
        for instance in active { turns.end(instance.id) }
        launcher.groups?.removeAll(but: Set(instances.values.filter(\.isActive).map(\.id)))
        guard boot != lastBoot else { return }
        try commit(StoreChange(boot: boot))
        Task {
            for instance in stored where instance.isAutostarted && instance.isDefined {
                // What can't be started is in the journal, and keeps nothing else from starting.
                _ = try? await start(instance.id)
            }
        }
    }

    /// Adopts the device processes that run, and sees to it that others take the place of those that don't. In the turns of all
    /// these instances.
    private func takeUp(_ active: [Instance], boot: String) async {
        var (adopted, gone) = ([Instance](), [Instance]())
        for instance in active {
            do {
                guard let identity = instance.process else { throw Errno.noSuchProcess }
                // All that the earlier manager has written down of it happened before the last of that.
                let known = try lastEntry(of: instance.id)?.time ?? 0
                try watch(instance, identity, user: nil, after: known)
                launcher.logs.adopt(instance.id)
                adopted.append(instance)
            } catch let error as Errno where error == .noSuchProcess {
                gone.append(instance)
            } catch {
                takeUpLater(instance, because: error, boot: boot)
            }
        }
        adopt(adopted)
        for instance in gone {
            launcher.clean(instance.id)
            if instance.process.map({ $0.boot != boot }) ?? false {
                // The host was restarted, and the guest with it.
                end(instance, "The host was restarted.")
            } else {
                await replace(instance, because: "Its device process had ended while nobody watched.", after: .zero)
            }
        }
    }

    /// It may well live, and no other is put in its place before that is known.
    private func takeUpLater(_ instance: Instance, because error: any Error, boot: String) {
        let process = instance.process
        let name = process.map { "\($0.id) " } ?? ""
        try? save(instance, .failed, "Whether its device process \(name)runs can't be found out yet: \(error)")
        Task {
            try? await Task.sleep(for: configuration.endLimit)
            await turns.begin(instance.id)
            defer { turns.end(instance.id) }
            // It may have been stopped meanwhile.
            guard let now = try? self.instance(instance.id), now.process == process else { return }
            await takeUp([now], boot: boot)
        }
    }

    /// All of them in one change: each would wait for the disk.
    private func adopt(_ found: [Instance]) {
        guard !found.isEmpty else { return }
        var adopted = found
        for index in adopted.indices {
            adopted[index].state = .running
            // It is in there already, unless this daemon was given another group than the one before.
            if let process = adopted[index].process, let limits = try? catalogue.limits(of: adopted[index]) {
                try? launcher.groups?.add(process.id, to: adopted[index].id, limits)
            }
        }
        // What can't be written down doesn't end them.
        try? save(adopted, .adopted) { "Its device process \($0.process?.id ?? 0) was found again." }
    }

    // MARK: Start

    /// Starts a defined instance. `mdevctl start -u`
    public func start(_ id: InstanceID) async throws(MediationError) -> Instance {
        await turns.begin(id)
        defer { turns.end(id) }
        return try await startInTurn(try instance(id))
    }

    /// Starts an instance that is gone when it stops. `mdevctl start -p -t`
    public func startTransient(_ instance: Instance) async throws(MediationError) -> Instance {
        await turns.begin(instance.id)
        defer { turns.end(instance.id) }
        guard (try? self.instance(instance.id)) == nil else {
            throw MediationError(.conflict, "There is a vGPU \(instance.id) already. Choose another UUID.")
        }
        var instance = instance
        instance.isDefined = false
        try catalogue.check(instance)
        try checkNumber()
        return try await startInTurn(instance)
    }

    private func startInTurn(_ instance: Instance) async throws(MediationError) -> Instance {
        guard !instance.isActive else {
            throw MediationError(.conflict, "The vGPU \(instance.id) is \(instance.state.rawValue) already.")
        }
        try catalogue.check(instance)
        var instance = instance
        instance.grant = try catalogue.grant(of: instance)
        instance.restarts = 0
        lastGeneration += 1
        instance.generation = lastGeneration
        try checkRoom(for: instance)
        unlink(directories.savedState(of: instance.id))
        log(of: instance.id).trim()
        do throws(MediationError) {
            return try await launch(instance, isRestored: false, backOff: BackOff())
        } catch {
            // What wasn't stored has left nothing.
            if instances[instance.id]?.isActive == true {
                instance.end(.stopped)
                try save(instance, orRemoveAs: .failed, error.description)
            }
            throw MediationError(error.code, "The vGPU \(instance.id) can't be started. \(error)")
        }
    }

    /// Stores an instance that isn't active any more; one without a definition is gone.
    private func save(
        _ instance: Instance, orRemoveAs kind: JournalEntry.Kind, _ message: String
    ) throws(MediationError) {
        let otherwise = "Its device process has ended, but it counts as active until it is stopped again"
        if instance.isDefined {
            try save(instance, kind, message, otherwise: otherwise)
        } else {
            try remove(instance, kind, message, otherwise: otherwise)
        }
    }

    /// Starts a device process for what was granted, and waits until it serves. It isn't there when this throws; what is stored may
    /// say so still.
    private func launch(
        _ instance: Instance, isRestored: Bool, backOff: BackOff
    ) async throws(MediationError) -> Instance {
        var instance = instance
        let device = try catalogue.device(of: instance)
        let user = freeUser(for: instance.id)
        let order = DeviceLauncher.Order(
            id: instance.id, device: device.name, options: device.options, owner: instance.owner, user: user,
            group: try catalogue.grant(of: instance).renderGroup, limits: try catalogue.limits(of: instance),
            isRestored: isRestored)
        let identity = try begin(order, &instance)
        do {
            try watch(instance, identity, user: user, backOff: backOff)
            let path = directories.control(of: instance.id)
            _ = try await blocking { try ControlClient(connectingTo: path).info() }
            return instance
        } catch {
            if supervised[instance.id]?.identity == identity {
                // One that doesn't end has never served anybody, and is nobody's from here on.
                if await !endProcess(instance.id, identity) {
                    supervised[instance.id]?.events?.stop()
                    supervised[instance.id] = nil
                }
            } else {
                launcher.end(identity.id)
            }
            launcher.logs.drain(instance.id)
            let reason = log(of: instance.id).lines(1).lines.last ?? "\(error)"
            launcher.clean(instance.id)
            throw MediationError(.failed, "Its device process can't serve: \(reason)")
        }
    }

    /// Starts a process that is known for good before it serves: whatever happens from here on, it is found again.
    private func begin(
        _ order: DeviceLauncher.Order, _ instance: inout Instance
    ) throws(MediationError) -> ProcessIdentity {
        let started: DeviceLauncher.Started
        do throws(DeviceLauncher.Failure) { started = try launcher.start(order) } catch {
            throw MediationError(.failed, error.description)
        }
        let identity = started.identity
        instance.state = .running
        instance.process = identity
        do throws(MediationError) {
            let how = started.isRestored ? " from the saved state" : ""
            try save(instance, .started, "Device process \(identity.id) started\(how).")
        } catch {
            launcher.end(identity.id)
            launcher.clean(order.id)
            throw error
        }
        // One that has ended already can't be let go on: that is seen soon enough.
        try? started.release()
        return identity
    }

    /// A user whom no other device process has: the same for the same vGPU, as far as possible, and others than another
    /// daemon's on this host.
    private func freeUser(for id: InstanceID) -> UInt32? {
        guard let users = configuration.users else { return nil }
        let taken = Set(supervised.values.compactMap(\.user))
        // FNV-1a
        let hash = "\(id)".utf8.reduce(0x811c_9dc5 as UInt32) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
        let first = Int(hash) % users.count
        return (0..<users.count).lazy.map { users.lowerBound + UInt32((first + $0) % users.count) }
            .first { !taken.contains($0) }
    }

    /// - Parameter known: when the last event of this process happened that is in the journal; 0: none is.
    private func watch(
        _ instance: Instance, _ identity: ProcessIdentity, user: UInt32?, backOff: BackOff = BackOff(),
        after known: Double = 0
    ) throws {
        let id = instance.id
        let exit = try ExitWatch(identity) { [weak self] outcome in
            Task { [weak self] in await self?.ended(id, identity, outcome) }
        }
        let events = try? EventFollower(control: directories.control(of: id)) { [weak self] events in
            await self?.note(events, of: id, identity, after: known)
        }
        supervised[id] = Supervised(
            identity: identity, user: user ?? owner(of: identity), since: .now, exit: exit, events: events,
            backOff: backOff)
    }

    /// The user as whom a process runs; nil for one that is gone.
    private func owner(of identity: ProcessIdentity) -> UInt32? {
        var status = stat()
        return stat("/proc/\(identity.id)", &status) == 0 ? status.st_uid : nil
    }

    // MARK: Stop

    /// Ends a vGPU. `mdevctl stop`
    ///
    /// - Parameter generation: the start that is meant, so that whoever comes late stops nobody else's; nil: whichever it is.
    public func stop(_ id: InstanceID, generation: Int? = nil) async throws(MediationError) -> Instance {
        await turns.begin(id)
        defer { turns.end(id) }
        let instance = try instance(id)
        guard instance.isActive else { throw MediationError(.conflict, "The vGPU \(id) doesn't run.") }
        if let generation, generation != instance.generation {
            let asked =
                generation < instance.generation ? "every earlier one is over" : "it has had no start \(generation)"
            throw MediationError(.conflict, "The vGPU \(id) runs since its start \(instance.generation): \(asked).")
        }
        if let identity = instance.process {
            if supervised[id]?.identity == identity {
                supervised[id]?.isToStop = true
                guard await endProcess(id, identity) else {
                    throw MediationError(
                        .busy,
                        "The device process \(identity.id) has not ended yet, though it was killed: the kernel holds it. "
                            + "The vGPU \(id) is stopped as soon as it ends.")
                }
            } else {
                try endUnwatched(identity)
            }
        }
        return try finishStop(instance, "Stopped")
    }

    /// Takes note that an instance is stopped, whose device process has ended.
    @discardableResult
    private func finishStop(_ instance: Instance, _ reason: String) throws(MediationError) -> Instance {
        var instance = instance
        launcher.clean(instance.id)
        unlink(directories.savedState(of: instance.id))
        instance.end(.stopped)
        try save(instance, orRemoveAs: .stopped, instance.isDefined ? "\(reason)." : "\(reason), and gone.")
        return instance
    }

    /// Has a process end, in order if it can, within a set time. Nobody hears of it by ``ended(_:_:_:)``.
    ///
    /// - Returns: false when it is still there, and watched: one that sleeps in the kernel can't even be killed.
    private func endProcess(_ id: InstanceID, _ identity: ProcessIdentity) async -> Bool {
        guard let exit = supervised[id]?.exit, supervised[id]?.identity == identity else { return true }
        let patience = configuration.endLimit
        let ending = Task {
            try await Task.sleep(for: patience)
            try? exit.send(SIGKILL)
            try await Task.sleep(for: patience)
            giveUpWaiting(for: id, identity)
        }
        let hasEnded = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            // It may have told so before this.
            guard !exit.hasEnded else { return continuation.resume(returning: true) }
            supervised[id]?.onEnd = continuation
            // The signal does what the control socket's request does, and needs nobody who listens.
            try? exit.send(SIGTERM)
        }
        ending.cancel()
        guard hasEnded else { return false }
        supervised[id]?.events?.stop()
        exit.cancel()
        supervised[id] = nil
        return true
    }

    private func giveUpWaiting(for id: InstanceID, _ identity: ProcessIdentity) {
        guard supervised[id]?.identity == identity, let waiting = supervised[id]?.onEnd else { return }
        supervised[id]?.onEnd = nil
        waiting.resume(returning: false)
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

    // MARK: Death

    private func ended(_ id: InstanceID, _ identity: ProcessIdentity, _ outcome: ExitWatch.Outcome) async {
        guard let known = supervised[id], known.identity == identity else { return }
        if let waiting = known.onEnd {
            supervised[id]?.onEnd = nil
            return waiting.resume(returning: true)
        }
        await turns.begin(id)
        defer { turns.end(id) }
        guard let dead = supervised[id], dead.identity == identity, let instance = try? instance(id) else { return }
        dead.events?.stop()
        supervised[id] = nil
        if dead.isToStop {
            // What can't be written down is found out by the next manager.
            _ = try? finishStop(instance, "Stopped, when the kernel had let go of its device process")
            return
        }
        let tooMuch = (launcher.groups?.outOfMemoryKills(of: id) ?? 0) > 0
        launcher.clean(id)
        let age = ContinuousClock.now - dead.since
        let why = tooMuch ? ", as it took more memory than it may" : ""
        await replace(
            instance, because: "Its device process \(identity.id) ended \(outcome)\(why).", after: age, dead.backOff)
    }

    /// Starts another device process in the place of one that is gone, perhaps later.
    private func replace(
        _ instance: Instance, because reason: String, after age: Duration, _ backOff: BackOff = BackOff()
    ) async {
        var backOff = backOff
        var instance = instance
        instance.process = nil
        guard let pause = backOff.wait(after: age) else {
            instance.end(.failed)
            try? save(instance, .failed, "\(reason) It died \(BackOff.limit) times in a row, and is given up.")
            return
        }
        instance.state = .restarting
        instance.restarts += 1
        try? save(instance, .died, "\(reason) Another one starts \(pause == .zero ? "now" : "in \(pause)").")
        let restarting = instance
        // Apart from whoever noticed the death, who may have others to look after.
        Task {
            try? await Task.sleep(for: pause)
            await turns.begin(restarting.id)
            defer { turns.end(restarting.id) }
            // It may have been stopped meanwhile.
            guard let now = try? self.instance(restarting.id), now.state == .restarting else { return }
            await restart(now, backOff)
        }
    }

    private func restart(_ instance: Instance, _ backOff: BackOff) async {
        do throws(MediationError) {
            _ = try await launch(instance, isRestored: true, backOff: backOff)
        } catch {
            guard let now = try? self.instance(instance.id) else { return }
            await replace(now, because: error.description, after: .zero, backOff)
        }
    }

    private func end(_ instance: Instance, _ reason: String) {
        var instance = instance
        instance.end(.stopped)
        unlink(directories.savedState(of: instance.id))
        try? save(instance, orRemoveAs: .stopped, reason)
    }
}
