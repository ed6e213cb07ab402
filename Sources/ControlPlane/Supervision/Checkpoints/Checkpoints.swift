import Control
import Linux
import Mediation

/// The saved states of vGPUs that run, for the case that their device processes die: made when a client leaves, and
/// again and again while one is there.
final class Checkpoints: Sendable {
    /// One that runs.
    private struct Process {
        let watched: WatchedProcess
        var schedule = CheckpointSchedule()
        /// Whether a client is connected, so that its state changes.
        var isInUse = false
        /// How often a failure is told of.
        var allowance = Allowance(20, at: SystemClock.nanoseconds)
    }

    private let processes = Locked<[InstanceID: Process]>([:])
    private let turns: Turns
    private let registry: Registry
    private let questions: Questions
    private let ledger: Ledger
    private let launcher: DeviceLauncher
    private let catalogue: Catalogue
    private let interval: Duration
    private let limit: Duration

    /// - Parameters:
    ///   - interval: how often a state is saved.
    ///   - limit: how long the process that writes it may take.
    init(
        turns: Turns, registry: Registry, questions: Questions, ledger: Ledger, launcher: DeviceLauncher,
        catalogue: Catalogue, every interval: Duration, limit: Duration
    ) {
        self.turns = turns
        self.registry = registry
        self.questions = questions
        self.ledger = ledger
        self.launcher = launcher
        self.catalogue = catalogue
        self.interval = interval
        self.limit = limit
    }

    // MARK: Whose

    /// Begins with a process, in the place of the vGPU's earlier one.
    func begin(_ id: InstanceID, _ watched: WatchedProcess) {
        processes.withLock { $0[id] = Process(watched: watched) }
    }

    /// Has done with a process, unless another is in its place already.
    func end(_ id: InstanceID, _ watched: WatchedProcess) {
        change(id, watched) { $0 = nil }
    }

    /// Takes note that a client has come or left.
    func note(_ id: InstanceID, _ watched: WatchedProcess, isInUse: Bool) {
        change(id, watched) { $0?.isInUse = isInUse }
    }

    private func change<Value: Sendable>(
        _ id: InstanceID, _ watched: WatchedProcess, _ body: (inout Process?) -> Value
    ) -> Value? {
        processes.withLock { processes in
            guard processes[id]?.watched === watched else { return nil }
            return body(&processes[id])
        }
    }

    // MARK: When

    /// Saves the states of those that are in use, again and again, and keeps logs within their limits, until it is
    /// cancelled. The states of those that aren't in use are left asleep: they were saved when their client left.
    func keep() async {
        // A sleep throws nothing but that it was cancelled.
        while (try? await Task.sleep(for: interval)) != nil {
            let all = processes.withLock { $0.mapValues { (watched: $0.watched, isInUse: $0.isInUse) } }
            // A device process of an earlier version writes to its log itself.
            await inAnyCase { [launcher] in for id in all.keys { launcher.log(of: id).trim() } }
            // One that hangs keeps no other from being saved.
            for (id, process) in all where process.isInUse { Task { await request(id, process.watched) } }
        }
    }

    /// Has a state saved as soon as its ``CheckpointSchedule`` allows; one that isn't due yet is saved later, and not
    /// waited for.
    func request(_ id: InstanceID, _ watched: WatchedProcess) async {
        let pause = change(id, watched) { [interval] process in process?.schedule.request(every: interval) }
        guard let pause = pause ?? nil else { return }
        guard pause > .zero else { return await save(id, watched) }
        Task { [weak self] in
            // Nobody cancels it.
            try? await Task.sleep(for: pause)
            await self?.save(id, watched)
        }
    }

    // MARK: How

    /// In turn, so that no state of an earlier process is there when the next one is started anew.
    private func save(_ id: InstanceID, _ watched: WatchedProcess) async {
        await turns.take(id) {
            guard processes.withLock({ $0[id]?.watched === watched }), let instance = registry.find(id) else { return }
            do { try await saveNow(instance, watched) } catch {
                // Of one that has ended nothing is left to be saved.
                guard !watched.hasEnded, isNews(id, watched) else { return }
                await ledger.tell(
                    .failed, of: id, "Its state can't be saved, and what was saved before stays: \(error)")
            }
        }
    }

    /// Saves a state whether it is due or not, in the vGPU's turn.
    ///
    /// - Throws: why it can't be saved. What was saved before stays then.
    func saveNow(_ instance: Instance, _ watched: WatchedProcess) async throws {
        let id = instance.id
        _ = change(id, watched) { $0?.schedule.begin() }
        let length = try stateLimit(of: instance)
        let state = try await questions.ask(id) { try $0.save(limit: length) }
        try await blocking { [launcher, limit] in try launcher.keep(state, of: id, within: limit) }
        _ = change(id, watched) { $0?.schedule.end(failed: false) }
    }

    /// Takes note of a failure.
    ///
    /// - Returns: whether it is to be told.
    private func isNews(_ id: InstanceID, _ watched: WatchedProcess) -> Bool {
        change(id, watched) { process in
            process?.schedule.end(failed: true) == true
                && process?.allowance.take(at: SystemClock.nanoseconds) == true
        } ?? false
    }

    /// The longest state that is taken of a device, in bytes: its video memory, all that its guest sees of it, and what
    /// it has beside that.
    private func stateLimit(of instance: Instance) throws(MediationError) -> Int {
        min(ControlClient.stateLimit, max(0, try catalogue.visibleVideoMemory(of: instance)) + Self.stateMargin)
    }

    private static let stateMargin = 32 << 20
}
