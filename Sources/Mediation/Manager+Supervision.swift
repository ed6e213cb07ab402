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
        for instance in stored where instance.isActive {
            await turns.begin(instance.id)
            await takeUp(instance, boot: boot)
            turns.end(instance.id)
        }
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

    private func takeUp(_ instance: Instance, boot: String) async {
        if let identity = instance.process {
            do {
                // All that the earlier manager has written down of it happened before the last of that.
                let known = try lastEntry(of: instance.id)?.time ?? 0
                try watch(instance, identity, user: nil, after: known)
                adopt(instance, identity)
                return
            } catch let error as Errno where error == .noSuchProcess {
                // It has ended.
            } catch {
                // It may well live, and no other is put in its place before that is known.
                try? save(
                    instance, .failed, "Whether its device process \(identity.id) runs can't be found out yet: \(error)"
                )
                Task {
                    try? await Task.sleep(for: Self.patience)
                    await turns.begin(instance.id)
                    defer { turns.end(instance.id) }
                    // It may have been stopped meanwhile.
                    guard let now = try? self.instance(instance.id), now.process == identity else { return }
                    await takeUp(now, boot: boot)
                }
                return
            }
        }
        launcher.clean(instance.id)
        if instance.process.map({ $0.boot != boot }) ?? false {
            // The host was restarted, and the guest with it.
            await end(instance, "The host was restarted.")
        } else {
            await replace(instance, because: "Its device process had ended while nobody watched.", after: .zero)
        }
    }

    private func adopt(_ instance: Instance, _ identity: ProcessIdentity) {
        // It is in there already, unless this daemon was given another group than the one before.
        if let limits = try? catalogue.limits(of: instance) {
            try? launcher.groups?.add(identity.id, to: instance.id, limits)
        }
        var instance = instance
        instance.state = .running
        // What can't be written down doesn't end it.
        try? save(instance, .adopted, "Its device process \(identity.id) was found again.")
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
        try catalogue.checkRoom(for: instance, beside: instances.values)
        unlink(directories.savedState(of: instance.id))
        log(of: instance.id).trim()
        var instance = instance
        instance.restarts = 0
        instance.aperture = nil
        return try await launch(instance, isRestored: false, backOff: BackOff())
    }

    /// Starts a device process and waits until it serves.
    private func launch(
        _ stopped: Instance, isRestored: Bool, backOff: BackOff
    ) async throws(MediationError) -> Instance {
        var instance = stopped
        let device = try catalogue.device(of: instance)
        let user = freeUser(for: instance.id)
        let order = DeviceLauncher.Order(
            id: instance.id, device: device.name, options: device.options, owner: instance.owner, user: user,
            group: try catalogue.parent(instance.parent).group, limits: try catalogue.limits(of: instance),
            isRestored: isRestored)
        let identity = try begin(order, &instance)
        do {
            try watch(instance, identity, user: user, backOff: backOff)
            let path = directories.control(of: instance.id)
            _ = try await blocking { try ControlClient(connectingTo: path).info() }
            return instance
        } catch {
            let reason = log(of: instance.id).lines(1).lines.last ?? "\(error)"
            if supervised[instance.id]?.identity == identity {
                await endProcess(instance.id, identity)
            } else {
                // Nobody else waits for this child.
                ChildProcess.end(identity.id)
            }
            launcher.clean(instance.id)
            var failed = stopped
            failed.state = .stopped
            failed.process = nil
            if failed.isDefined {
                try save(failed, .failed, "Its device process can't serve: \(reason)")
            } else {
                try remove(failed, .failed, "Its device process can't serve: \(reason)")
            }
            throw MediationError(.failed, "The vGPU \(instance.id) can't be started: \(reason)")
        }
    }

    /// Starts a process that is known for good before it serves: whatever happens from here on, it is found again.
    private func begin(
        _ order: DeviceLauncher.Order, _ instance: inout Instance
    ) throws(MediationError) -> ProcessIdentity {
        let launched: Result<ProcessIdentity, MediationError>
        do throws(DeviceLauncher.Failure) {
            let started = try launcher.start(order)
            let identity = started.identity
            instance.state = .running
            instance.process = identity
            let known = instance
            launched = Result { () throws(MediationError) in
                let how = order.isRestored ? " from the saved state" : ""
                try save(known, .started, "Device process \(identity.id) started\(how).")
                return identity
            }
            // A process that isn't let go on ends by itself. One that has ended already can't be: that is seen soon enough.
            if case .success = launched { try? started.release() }
        } catch {
            launcher.clean(order.id)
            throw MediationError(.failed, "The vGPU \(order.id) can't be started. \(error)")
        }
        if case .failure = launched { launcher.clean(order.id) }
        return try launched.get()
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
    public func stop(_ id: InstanceID) async throws(MediationError) -> Instance {
        await turns.begin(id)
        defer { turns.end(id) }
        var instance = try instance(id)
        guard instance.isActive else { throw MediationError(.conflict, "The vGPU \(id) doesn't run.") }
        if let identity = instance.process {
            if supervised[id]?.identity == identity {
                await endProcess(id, identity)
            } else {
                try endUnwatched(identity)
            }
        }
        launcher.clean(id)
        unlink(directories.savedState(of: id))
        instance.state = .stopped
        instance.aperture = nil
        instance.process = nil
        if instance.isDefined {
            try save(instance, .stopped, "Stopped.")
        } else {
            try remove(instance, .stopped, "Stopped, and gone.")
        }
        return instance
    }

    /// How long a device process may take to end in order.
    private static let patience: Duration = .seconds(5)

    /// Has a process end, in order if it can. Nobody hears of it by ``ended(_:_:_:)``.
    private func endProcess(_ id: InstanceID, _ identity: ProcessIdentity) async {
        guard let exit = supervised[id]?.exit, supervised[id]?.identity == identity else { return }
        let killing = Task {
            try await Task.sleep(for: Self.patience)
            try? exit.send(SIGKILL)
        }
        await withCheckedContinuation { continuation in
            // It may have told so before this.
            guard !exit.hasEnded else { return continuation.resume() }
            supervised[id]?.onEnd = continuation
            // The signal does what the control socket's request does, and needs nobody who listens.
            try? exit.send(SIGTERM)
        }
        killing.cancel()
        supervised[id]?.events?.stop()
        exit.cancel()
        supervised[id] = nil
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
        guard var dead = supervised[id], dead.identity == identity else { return }
        if let waiting = dead.onEnd {
            dead.onEnd = nil
            supervised[id] = dead
            return waiting.resume()
        }
        await turns.begin(id)
        defer { turns.end(id) }
        guard supervised[id]?.identity == identity, let instance = try? instance(id) else { return }
        dead.events?.stop()
        supervised[id] = nil
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
            instance.state = .failed
            instance.aperture = nil
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
            var failed = now
            failed.restarts = instance.restarts
            await replace(failed, because: error.description, after: .zero, backOff)
        }
    }

    private func end(_ instance: Instance, _ reason: String) async {
        var instance = instance
        instance.state = .stopped
        instance.process = nil
        instance.aperture = nil
        unlink(directories.savedState(of: instance.id))
        if instance.isDefined {
            try? save(instance, .stopped, reason)
        } else {
            try? remove(instance, .stopped, reason)
        }
    }
}
