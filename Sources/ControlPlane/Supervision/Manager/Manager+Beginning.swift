import Glibc
import Linux
import Mediation

/// Taking up what an earlier manager has left.
extension Manager {
    /// Takes up the work, once. When it returns, the device processes that run are adopted; those that have died
    /// meanwhile are about to be replaced, and, the first time after a boot, what is to be started then about to be
    /// started. The folders must be there (``Directories/make()``).
    public func begin() async throws(MediationError) {
        let boot: String
        do throws(Errno) { boot = try ProcessIdentity.currentBoot() } catch {
            throw MediationError(.failed, "Which boot of the host this is can't be found out: \(error).")
        }
        let lastBoot = try await registry.load { [catalogue] instance in
            do throws(MediationError) { return try catalogue.grant(of: instance) } catch {
                // Its type or its parent is gone. It runs on; what it is told when it is to be replaced is the same.
                return nil
            }
        }
        let stored = registry.all
        try await removeLeftovers()
        let active = stored.filter(\.isActive)
        try await turns.take(all: active.map(\.id)) { () async throws(MediationError) in
            try await takeUp(active, boot: boot)
        }
        let known = Set(registry.all.filter(\.isActive).map(\.id))
        await inAnyCase { [launcher] in launcher.groups?.removeAll(but: known) }
        guard boot != lastBoot else { return }
        try await ledger.commit(StoreChange(boot: boot))
        Task { [weak self] in
            for instance in stored where instance.isAutostarted && instance.isDefined {
                await self?.autostart(instance.id)
            }
        }
    }

    /// What can't be started keeps nothing else from starting.
    private func autostart(_ id: InstanceID) async {
        do throws(MediationError) { _ = try await start(id) } catch {
            // Somebody may have been faster, or have undefined it.
            guard ![.conflict, .notFound].contains(error.code) else { return }
            await ledger.tell(.failed, of: id, error.description)
        }
    }

    // MARK: Device processes

    /// Adopts the device processes that run, and sees to it that others take the place of those that don't. In the
    /// turns of all these instances.
    private func takeUp(_ active: [Instance], boot: String) async throws(MediationError) {
        var (adopted, gone) = ([Instance](), [Instance]())
        for instance in active {
            guard let identity = instance.process else {
                gone.append(instance)
                continue
            }
            // All that the earlier manager has written down of it happened before the last of that.
            let known = try await ledger.lastEntry(of: instance.id)?.time ?? 0
            do throws(Errno) {
                let lease = owner(of: identity).flatMap(users.lease(of:))
                try supervise(instance.id, identity, lease, after: known)
                adopted.append(instance)
            } catch {
                switch error {
                case .noSuchProcess: gone.append(instance)
                default: await takeUpLater(instance, because: error, boot: boot)
                }
            }
        }
        await adopt(adopted)
        for instance in gone { await replaceGone(instance, boot: boot) }
    }

    private func replaceGone(_ instance: Instance, boot: String) async {
        let isOfAnotherBoot = instance.process.map { $0.boot != boot } ?? false
        await inAnyCase { [launcher] in
            launcher.clean(instance.id)
            if isOfAnotherBoot { launcher.removeSavedState(of: instance.id) }
        }
        guard isOfAnotherBoot else {
            return await replace(instance, because: "Its device process had ended while nobody watched.", after: .zero)
        }
        // The guest was restarted with the host.
        var ended = instance
        ended.end(.stopped)
        do throws(MediationError) { try await save(ended, orRemoveAs: .stopped, "The host was restarted.") } catch {
            // It counts as active until somebody stops it, or the next manager finds the same.
            ledger.warn("The vGPU \(instance.id), when the host was restarted: \(error)")
        }
    }

    /// It may well live, and no other is put in its place before that is known.
    private func takeUpLater(_ instance: Instance, because error: any Error, boot: String) async {
        let process = instance.process
        let name = process.map { "\($0.id) " } ?? ""
        await ledger.tell(
            .failed, of: instance.id, "Whether its device process \(name)runs can't be found out yet: \(error)")
        Task { [weak self, pause = configuration.endLimit] in
            // Nobody cancels it.
            try? await Task.sleep(for: pause)
            guard let self else { return }
            await turns.take(instance.id) {
                // It may have been stopped meanwhile.
                guard let now = registry.find(instance.id), now.process == process else { return }
                do throws(MediationError) { try await takeUp([now], boot: boot) } catch {
                    await takeUpLater(now, because: error, boot: boot)
                }
            }
        }
    }

    /// All of them in one change: each would wait for the disk.
    private func adopt(_ found: [Instance]) async {
        guard !found.isEmpty else { return }
        var adopted = found
        for index in adopted.indices {
            adopted[index].state = .running
            await takeOver(adopted[index])
            // Whether it answers or hangs, nothing waits for that.
            let id = adopted[index].id
            if let process = processes[id]?.process {
                Task { [weak self] in await self?.keepRecorder(of: id, process) }
            }
        }
        do throws(MediationError) {
            try await registry.save(adopted, .adopted) { "Its device process \($0.process?.id ?? 0) was found again." }
        } catch {
            // What can't be written down doesn't end them.
            ledger.warn("\(adopted.count) device processes were found again, and go on. \(error)")
        }
    }

    /// Goes on with what an adopted process has beside itself: its log, and its control group.
    private func takeOver(_ instance: Instance) async {
        let id = instance.id
        do {
            try await blocking { [launcher, catalogue] in
                try launcher.logs.adopt(id)
                launcher.openSocket(of: id)
                // It is in there already, unless this daemon was given another group than the one before.
                if let groups = launcher.groups, let process = instance.process {
                    try groups.add(process.id, to: id, try catalogue.limits(of: instance))
                }
            }
        } catch {
            ledger.warn("The device process of the vGPU \(id) goes on without its log or its control group: \(error)")
        }
    }

    /// The user as whom a process runs; nil for one that is gone.
    private func owner(of identity: ProcessIdentity) -> UInt32? {
        var status = stat()
        return stat("/proc/\(identity.id)", &status) == 0 ? status.st_uid : nil
    }

    // MARK: Files

    /// Removes what a manager that was killed has left: states saved in part, for nobody else saves when this one
    /// begins, what is of vGPUs that are gone, and sockets of those that it was about to start. A vGPU that even the
    /// journal doesn't know is one of another database: what is of that stays.
    private func removeLeftovers() async throws(MediationError) {
        for (folder, suffix) in [(directories.savedStates, ".state"), (directories.logs, ".log")] {
            var gone: [String] = []
            for name in await inAnyCase({ names(inFolder: folder) }) {
                var isGone = suffix == ".state" && name.hasSuffix(".new")
                if name.hasSuffix(suffix), let owner = InstanceID(String(name.dropLast(suffix.count))),
                    registry.find(owner) == nil
                {
                    isGone = try await ledger.lastEntry(of: owner) != nil
                }
                if isGone { gone.append("\(folder)/\(name)") }
            }
            await inAnyCase { [gone] in for path in gone { unlink(path) } }
        }
        await inAnyCase { [launcher, directories, registry] in
            // Names begin with a UUID, which has 36 characters.
            func isIdle(_ name: String) -> Bool {
                InstanceID(String(name.prefix(36))).map { registry.find($0)?.isActive != true } ?? false
            }
            for name in names(inFolder: directories.folders) where isIdle(name) {
                InstanceID(name).map(launcher.clean)
            }
            for name in names(inFolder: directories.controls) where isIdle(name) {
                unlink("\(directories.controls)/\(name)")
            }
        }
    }
}
