import Linux
import Mediation

/// The vGPUs that there are. A change is stored with what is said of it, and only then believed; whoever looks waits
/// for nothing.
///
/// What is decided of one vGPU is decided in its turn (``Turns``), so no two changes of it are under way.
final class Registry: Sendable {
    private struct State {
        var instances: [InstanceID: Instance] = [:]
        /// In the order of their definition.
        var order: [InstanceID] = []
        /// The number of the last start. ``Instance/generation``
        var lastGeneration = 0

        mutating func put(_ changed: [Instance]) {
            lastGeneration = changed.reduce(lastGeneration) { max($0, $1.generation) }
            for instance in changed where instances.updateValue(instance, forKey: instance.id) == nil {
                order.append(instance.id)
            }
        }
    }

    private let state = Locked(State())
    private let ledger: Ledger

    init(_ ledger: Ledger) { self.ledger = ledger }

    // MARK: What there is

    /// All instances, in the order of their definition.
    var all: [Instance] { state.withLock { state in state.order.compactMap { state.instances[$0] } } }

    /// - Returns: nil when there is none.
    func find(_ id: InstanceID) -> Instance? { state.withLock { $0.instances[id] } }

    func instance(_ id: InstanceID) throws(MediationError) -> Instance {
        guard let instance = find(id) else {
            throw MediationError(
                .notFound, "There is no vGPU \(id). 'mediated list' and 'mediated list -d' name those that there are.")
        }
        return instance
    }

    /// The number of a start, which no other start has.
    func nextGeneration() -> Int {
        state.withLock { state in
            state.lastGeneration += 1
            return state.lastGeneration
        }
    }

    // MARK: What becomes of it

    /// - Parameters:
    ///   - otherwise: what is so when it can't be stored.
    ///   - act: what is to be done at once when it is stored and believed; on the store's thread, so it must not wait.
    func save(
        _ instance: Instance, _ kind: JournalEntry.Kind, _ message: String, otherwise: String = Ledger.unchanged,
        then act: @escaping @Sendable () -> Void = {}
    ) async throws(MediationError) {
        let change = StoreChange(saved: [instance], entries: [Self.entry(kind, of: instance, message)])
        try await ledger.commit(change, otherwise: otherwise) { [state] in
            state.withLock { $0.put([instance]) }
            act()
        }
    }

    /// Stores instances with what is said of each: all of them, or none.
    func save(
        _ changed: [Instance], _ kind: JournalEntry.Kind, otherwise: String = Ledger.unchanged,
        _ message: (Instance) -> String
    ) async throws(MediationError) {
        let entries = changed.map { Self.entry(kind, of: $0, message($0)) }
        try await ledger.commit(StoreChange(saved: changed, entries: entries), otherwise: otherwise) { [state] in
            state.withLock { $0.put(changed) }
        }
    }

    func remove(
        _ instance: Instance, _ kind: JournalEntry.Kind, _ message: String, otherwise: String = Ledger.unchanged
    ) async throws(MediationError) {
        let id = instance.id
        let entry = Self.entry(kind, of: instance, message)
        try await ledger.commit(StoreChange(removed: [id], entries: [entry]), otherwise: otherwise) { [state] in
            state.withLock { state in
                state.instances[id] = nil
                state.order.removeAll { $0 == id }
            }
        }
    }

    private static func entry(_ kind: JournalEntry.Kind, of instance: Instance, _ message: String) -> JournalEntry {
        JournalEntry(
            time: SystemClock.secondsSinceEpoch, instance: instance.id, kind: kind.rawValue, message: message)
    }

    /// Takes over what an earlier manager has left.
    ///
    /// - Parameter grant: what an active instance has of which an earlier version has written down nothing.
    /// - Returns: the boot of the host in which autostarted instances were last started.
    func load(granting grant: @escaping @Sendable (Instance) -> Grant?) async throws(MediationError) -> String? {
        let boot = try await ledger.stored { [state] store in
            let (instances, boot, generation) = (
                try store.instances(), try store.lastBoot(), try store.lastGeneration()
            )
            state.withLock { state in
                state.lastGeneration = generation
                state.put(
                    instances.map { instance in
                        var instance = instance
                        if instance.isActive, instance.grant == nil { instance.grant = grant(instance) }
                        return instance
                    })
            }
            return boot
        }
        try await ledger.load()
        return boot
    }
}
