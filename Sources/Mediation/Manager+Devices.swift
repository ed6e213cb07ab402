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
        } catch {
            throw MediationError(.failed, "\(error)")
        }
    }

    /// Puts limits into force.
    func apply(_ limits: Limits, to instance: Instance) async throws(MediationError) {
        let frameRate = limits.frameRate
        let videoMemory = limits.videoMemory
        if frameRate > 0 || videoMemory > 0 {
            let path = directories.control(of: instance.id)
            do {
                _ = try await blocking {
                    try ControlClient(connectingTo: path).modify(
                        Quota(videoMemory: videoMemory > 0 ? videoMemory : nil, frameRate: frameRate))
                }
            } catch {
                throw MediationError(.conflict, "\(error)")
            }
        }
        if let process = instance.process { Weight(limits.weight).apply(to: process.id) }
    }

    /// Takes what a device process tells into the journal.
    func note(_ events: ControlEvents, of id: InstanceID) {
        guard instances[id] != nil else { return }
        let entries = events.events.map {
            JournalEntry(time: $0.time, instance: id, kind: $0.kind, message: $0.message)
        }
        // The log has it too.
        try? commit(StoreChange(entries: entries))
    }

    // MARK: Saved states

    /// Saves the states of those that were in use since they were saved last, again and again.
    public func keepCheckpoints() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: configuration.checkpointInterval)
            for id in supervised.keys { await checkpoint(id) }
        }
    }

    private func checkpoint(_ id: InstanceID) async {
        guard let now = supervised[id], let ticks = processorTime(of: now.identity), ticks != now.savedAt else { return }
        let path = directories.savedState(of: id)
        do {
            try await ask(id) { client in
                let state = try client.save()
                let file = try FileReplacement(path: path, mode: 0o600)
                try state.copy(to: file.descriptor)
                try file.commit()
            }
        } catch {
            // The state from before is still there.
            return
        }
        // Saving took some time itself.
        supervised[id]?.savedAt = processorTime(of: now.identity) ?? 0
    }

    /// utime and stime of /proc/PID/stat, in clock ticks.
    private func processorTime(of identity: ProcessIdentity) -> UInt64? {
        guard let file = try? Descriptor(reading: "/proc/\(identity.id)/stat"), let bytes = try? file.readBytes(upTo: 4096)
        else { return nil }
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12]) else { return nil }
        return user + system
    }

    // MARK: Logs

    /// The last lines of an instance's log, oldest first.
    public func log(of id: InstanceID, lines: Int) throws(MediationError) -> [String] {
        _ = try instance(id)
        return lastLogLines(of: id, lines)
    }

    func lastLogLine(of id: InstanceID) -> String? {
        lastLogLines(of: id, 1).last
    }

    private func lastLogLines(of id: InstanceID, _ count: Int) -> [String] {
        guard let file = try? Descriptor(reading: directories.log(of: id)) else { return [] }
        // As much as anybody reads.
        let limit: off_t = 256 << 10
        let end = lseek(file.raw, 0, SEEK_END)
        lseek(file.raw, max(0, end - limit), SEEK_SET)
        let text = String(decoding: (try? file.readBytes(upTo: Int(limit))) ?? [], as: UTF8.self)
        return text.split(separator: "\n").suffix(max(0, count)).map(String.init)
    }
}
