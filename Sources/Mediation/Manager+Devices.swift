import Control
import Device
import Glibc
import JSON
import Linux

/// What the manager asks of running device processes.
extension Manager {
    /// The client of an instance's device process.
    ///
    /// - Returns: what `body` made of it, outside of the actor.
    public func ask<Value: Sendable>(
        _ id: InstanceID, _ body: @escaping @Sendable (ControlClient) throws -> Value
    ) async throws(MediationError) -> Value {
        guard try instance(id).state == .running else {
            throw MediationError(.conflict, "The vGPU \(id) doesn't run.")
        }
        let path = directories.control(of: id)
        do {
            return try await blocking { try body(ControlClient(connectingTo: path)) }
        } catch let error as ControlClientError {
            throw MediationError(error)
        } catch {
            throw MediationError(.failed, "\(error)")
        }
    }

    /// Puts limits into force where they differ from those that a running instance has had: its device need not have all.
    func apply(_ limits: Limits, insteadOf before: Limits, to instance: Instance) async throws(MediationError) {
        let quota = Quota(
            videoMemory: limits.videoMemory == before.videoMemory ? nil : limits.videoMemory,
            frameRate: limits.frameRate == before.frameRate ? nil : limits.frameRate)
        if quota != Quota() {
            let path = directories.control(of: instance.id)
            do {
                _ = try await blocking { try ControlClient(connectingTo: path).modify(quota) }
            } catch {
                throw MediationError(.conflict, "\(error)")
            }
        }
        if let groups = launcher.groups {
            do throws(Errno) { try groups.apply(limits, to: instance.id) } catch {
                throw MediationError(
                    .failed, "The control group of the vGPU \(instance.id) can't be changed: \(error).")
            }
        }
        if limits.weight != before.weight, !launcher.hasProcessorGroups, let process = instance.process {
            Weight(limits.weight).apply(to: process.id)
        }
    }

    /// Takes what a device process tells into the journal.
    func note(_ events: ControlEvents, of id: InstanceID) async {
        guard instances[id] != nil else { return }
        let entries = events.events.map {
            JournalEntry(time: $0.time, instance: id, kind: $0.kind, message: $0.message)
        }
        // The log has it too.
        try? commit(StoreChange(entries: entries))
        let kinds = events.events.compactMap { ControlEvent.Kind(rawValue: $0.kind) }
        guard let last = kinds.last(where: { $0 == .clientConnected || $0 == .clientLeft }) else { return }
        supervised[id]?.isInUse = last == .clientConnected
        // What the client has left behind is what the next one finds.
        if kinds.contains(.clientLeft) { await checkpoint(id) }
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

    /// Saves the states of those that are in use, again and again. Those that aren't are left asleep: they were saved when
    /// their client left.
    public func keepCheckpoints() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: configuration.checkpointInterval)
            for (id, process) in supervised where process.isInUse { await checkpoint(id) }
        }
    }

    private func checkpoint(_ id: InstanceID) async {
        let path = directories.savedState(of: id)
        // When it fails the state from before is still there.
        try? await ask(id) { client in
            let state = try client.save()
            let file = try FileReplacement(path: path, mode: 0o600)
            try state.copy(to: file.descriptor)
            try file.commit()
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
        return lastLogLines(of: id, lines, after: offset)
    }

    func lastLogLine(of id: InstanceID) -> String? {
        lastLogLines(of: id, 1).lines.last
    }

    private func lastLogLines(
        of id: InstanceID, _ count: Int, after offset: Int? = nil
    ) -> (lines: [String], end: Int) {
        guard let file = try? Descriptor(reading: directories.log(of: id)) else { return ([], 0) }
        // As much as anybody reads.
        let limit = 256 << 10
        let end = Int(lseek(file.raw, 0, SEEK_END))
        let begin = max(0, end - limit, offset.map { $0 <= end ? $0 : 0 } ?? 0)
        lseek(file.raw, off_t(begin), SEEK_SET)
        let bytes = (try? file.readBytes(upTo: max(0, end - begin))) ?? []
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        return (lines.suffix(max(0, count)).map(String.init), begin + bytes.count)
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
