import Control
import Device
import Glibc
import JSON
import Linux

/// What the manager asks of running device processes.
extension Manager {
    /// How many may wait until a device process has answered somebody else.
    private static let mostWaiting = 16

    /// The client of an instance's device process, for one at a time: a process that hangs holds up one thread, and nobody for long.
    ///
    /// - Returns: what `body` made of it, outside of the actor.
    /// - Throws: ``MediationError/Code/busy`` when too many others wait for the process, or it hasn't answered them in time.
    public func ask<Value: Sendable>(
        _ id: InstanceID, _ body: @escaping @Sendable (ControlClient) throws -> Value
    ) async throws(MediationError) -> Value {
        guard try instance(id).state == .running else {
            throw MediationError(.conflict, "The vGPU \(id) doesn't run.")
        }
        let (asked, limit) = (ContinuousClock.now, configuration.answerLimit)
        guard await questions.begin(id, behind: Self.mostWaiting) else {
            throw MediationError(
                .busy, "The vGPU \(id) has \(Self.mostWaiting) others to answer. Try again in a moment.")
        }
        defer { questions.end(id) }
        guard ContinuousClock.now - asked < limit else {
            throw MediationError(
                .busy, "The vGPU \(id) has not answered others for \(limit). Try again, or stop it if it stays so.")
        }
        let path = directories.control(of: id)
        do {
            return try await blocking { try body(ControlClient(connectingTo: path, patience: limit)) }
        } catch let error as ControlClientError {
            throw MediationError(error)
        } catch {
            throw MediationError(.failed, "\(error)")
        }
    }

    /// Puts limits into force where they differ from those that a running instance has had: its device need not have all. All of
    /// them, or none.
    func apply(_ limits: Limits, insteadOf before: Limits, to instance: Instance) async throws(MediationError) {
        try await applyQuota(limits, insteadOf: before, to: instance)
        if let groups = launcher.groups {
            do throws(Errno) { try groups.apply(limits, to: instance.id) } catch {
                try? groups.apply(before, to: instance.id)
                // What is told is why the new limits can't be had.
                try? await applyQuota(before, insteadOf: limits, to: instance)
                throw MediationError(
                    .failed, "The control group of the vGPU \(instance.id) can't be changed: \(error).")
            }
        }
        if limits.weight != before.weight, !launcher.hasProcessorGroups, let process = instance.process {
            Weight(limits.weight).apply(toGroupOf: process.id)
        }
    }

    /// Has the device process keep to those of the limits that are its own.
    private func applyQuota(
        _ limits: Limits, insteadOf before: Limits, to instance: Instance
    ) async throws(MediationError) {
        let quota = Quota(
            videoMemory: limits.videoMemory == before.videoMemory ? nil : limits.videoMemory,
            frameRate: limits.frameRate == before.frameRate ? nil : limits.frameRate)
        guard quota != Quota() else { return }
        let path = directories.control(of: instance.id)
        do {
            _ = try await blocking { try ControlClient(connectingTo: path).modify(quota) }
        } catch {
            throw MediationError(.conflict, "\(error)")
        }
    }

    /// Takes what a device process tells into the journal: no more than its allowance, as its client can make it tell any
    /// number of things, and it may be of no good will itself.
    ///
    /// - Parameters:
    ///   - identity: which process; one that is gone isn't heard any more.
    ///   - known: what happened until then is in the journal already.
    func note(_ events: ControlEvents, of id: InstanceID, _ identity: ProcessIdentity, after known: Double) async {
        guard var process = supervised[id], process.identity == identity else { return }
        let now = SystemClock.secondsSinceEpoch
        var entries: [JournalEntry] = []
        for event in events.events.suffix(EventLog.capacity) where event.time > known {
            guard let entry = JournalEntry(event, of: id, until: now) else { continue }
            let left = process.allowance.refused
            guard process.allowance.take(at: SystemClock.nanoseconds) else { continue }
            if left > 0 {
                entries.append(
                    JournalEntry(
                        time: entry.time, instance: id, kind: JournalEntry.Kind.omitted.rawValue,
                        message: "\(left) events of the device process were left out."))
            }
            entries.append(entry)
        }
        let kinds = events.events.suffix(EventLog.capacity).compactMap { ControlEvent.Kind(rawValue: $0.kind) }
        let last = kinds.last { $0 == .clientConnected || $0 == .clientLeft }
        if let last { process.isInUse = last == .clientConnected }
        supervised[id] = process
        // The log has it too.
        if !entries.isEmpty { try? commit(StoreChange(entries: entries)) }
        // What the client has left behind is what the next one finds.
        if kinds.contains(.clientLeft) { await requestCheckpoint(id) }
    }

    /// Takes into the journal that somebody came who may not tell this manager what to do: once a minute for each user, for
    /// they may come as often as they like.
    public func noteRefusal(user: UInt32, process: Int32) {
        let now = ContinuousClock.now
        if let last = refusals[user], now - last < .seconds(60) { return }
        if refusals.count >= Self.mostRefusals { refusals = [:] }
        refusals[user] = now
        let entry = JournalEntry(
            time: SystemClock.secondsSinceEpoch, instance: nil, kind: JournalEntry.Kind.denied.rawValue,
            message: "User \(user) (process \(process)) may not use the daemon, and was refused.")
        try? commit(StoreChange(entries: [entry]))
    }

    private static let mostRefusals = 1024

    // MARK: Saved states

    /// Saves the states of those that are in use, again and again, and keeps logs within their limits. The states of those that
    /// aren't in use are left asleep: they were saved when their client left.
    public func keepCheckpoints() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: configuration.checkpointInterval)
            for (id, process) in supervised {
                // A device process of an earlier version writes to it itself.
                log(of: id).trim()
                // One that hangs keeps no other from being saved.
                if process.isInUse { Task { await requestCheckpoint(id) } }
            }
        }
    }

    /// Has a state saved as soon as its ``CheckpointSchedule`` allows; one that isn't due yet is saved later, and not waited for.
    private func requestCheckpoint(_ id: InstanceID) async {
        guard let identity = supervised[id]?.identity,
            let pause = supervised[id]?.checkpoints.request(every: configuration.checkpointInterval)
        else { return }
        guard pause > .zero else { return await checkpoint(id, identity) }
        Task { [weak self] in
            try? await Task.sleep(for: pause)
            await self?.checkpoint(id, identity)
        }
    }

    /// In turn, so that no state of an earlier process is there when the next one is started anew.
    private func checkpoint(_ id: InstanceID, _ identity: ProcessIdentity) async {
        await turns.begin(id)
        defer { turns.end(id) }
        guard supervised[id]?.identity == identity, let instance = try? instance(id) else { return }
        supervised[id]?.checkpoints.begin()
        let limit = stateLimit(of: instance)
        let savingLimit = configuration.savingLimit
        do {
            let state = try await ask(id) { try $0.save(limit: limit) }
            try await blocking { [launcher] in try launcher.keep(state, of: id, within: savingLimit) }
            _ = supervised[id]?.checkpoints.end(failed: false)
        } catch {
            // Of one that has ended nothing is left to be saved.
            guard supervised[id]?.identity == identity, identity.runs else { return }
            guard supervised[id]?.checkpoints.end(failed: true) == true,
                supervised[id]?.allowance.take(at: SystemClock.nanoseconds) == true
            else { return }
            let entry = JournalEntry(
                time: SystemClock.secondsSinceEpoch, instance: id, kind: JournalEntry.Kind.failed.rawValue,
                message: "Its state can't be saved, and what was saved before stays: \(error)")
            try? commit(StoreChange(entries: [entry]))
        }
    }

    /// The longest state that is taken of a device, in bytes: its video memory, all that its guest sees of it, and what it has
    /// beside that.
    private func stateLimit(of instance: Instance) -> Int {
        let memory = (try? catalogue.visibleVideoMemory(of: instance)) ?? 0
        return min(ControlClient.stateLimit, max(0, memory) + Self.stateMargin)
    }

    private static let stateMargin = 32 << 20

    /// Removes what a manager that was killed has left: states saved in part, for nobody else saves when this one begins, what is
    /// of vGPUs that are gone, and sockets of those that it was about to start. A vGPU that even the journal doesn't know is one of
    /// another database: what is of that stays.
    func removeLeftovers() {
        for (folder, suffix) in [(directories.savedStates, ".state"), (directories.logs, ".log")] {
            for name in names(inFolder: folder) {
                let owner = name.hasSuffix(suffix) ? InstanceID(String(name.dropLast(suffix.count))) : nil
                let isGone = owner.map { instances[$0] == nil && (try? lastEntry(of: $0)) != nil } ?? false
                if isGone || suffix == ".state" && name.hasSuffix(".new") { unlink("\(folder)/\(name)") }
            }
        }
        // Names begin with a UUID, which has 36 characters.
        func isIdle(_ name: String) -> Bool {
            InstanceID(String(name.prefix(36))).map { instances[$0]?.isActive != true } ?? false
        }
        for name in names(inFolder: directories.folders) where isIdle(name) {
            InstanceID(name).map(launcher.clean)
        }
        for name in names(inFolder: directories.controls) where isIdle(name) {
            unlink("\(directories.controls)/\(name)")
        }
    }

    // MARK: Logs

    /// The last lines of an instance's log, oldest first.
    ///
    /// - Parameters:
    ///   - lines: the most lines; the newest ones count.
    ///   - offset: only what was written behind so many bytes; nil: all. A log that is shorter has begun anew.
    /// - Returns: the lines, and the offset behind the last one.
    public func log(
        of id: InstanceID, lines: Int, after offset: Int? = nil
    ) throws(MediationError) -> (lines: [String], end: Int) {
        _ = try instance(id)
        launcher.logs.drain(id)
        return log(of: id).lines(lines, after: offset)
    }

    func log(of id: InstanceID) -> LogFile { LogFile(path: directories.log(of: id)) }
}

extension JournalEntry {
    /// What a device process tells; nil for what only a manager says, and for what is no kind of event.
    fileprivate init?(_ event: ControlEvent, of id: InstanceID, until now: Double) {
        if ControlEvent.Kind(rawValue: event.kind) == nil {
            // One that a later version knows.
            guard Kind(rawValue: event.kind) == nil, (1...32).contains(event.kind.utf8.count),
                event.kind.utf8.allSatisfy({ $0 == UInt8(ascii: "-") || (UInt8(ascii: "a")...UInt8(ascii: "z")) ~= $0 })
            else { return nil }
        }
        self.init(time: min(max(0, event.time), now), instance: id, kind: event.kind, message: event.message)
    }
}

extension MediationError {
    /// What a device process said, or why it said nothing.
    fileprivate init(_ error: ControlClientError) {
        let code: Code =
            switch error {
            case .refused(let error):
                switch error.code {
                case .noSuchHead: .notFound
                case .nothingShown, .quota, .monitor: .conflict
                case .malformed, .version, .unknownRequest, .failed: .failed
                }
            case .cannotConnect, .timedOut, .closed, .connection, .malformedReply: .failed
            }
        self.init(code, error.description)
    }
}
