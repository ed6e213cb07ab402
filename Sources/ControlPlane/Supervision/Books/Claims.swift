import Linux
import Mediation

/// What vGPUs are about to have, as long as the store doesn't say so yet: nobody else is given that meanwhile.
///
/// Whoever looks for room sees claims first and the registry then. A claim is let go when the registry knows what was
/// claimed, so none is missed in between.
final class Claims: Sendable {
    private let claimed = Locked<[InstanceID: Instance]>([:])
    private let registry: Registry
    private let catalogue: Catalogue
    private let mostInstances: Int

    /// - Parameter mostInstances: how many instances there may be at a time, running or not.
    init(_ registry: Registry, _ catalogue: Catalogue, mostInstances: Int) {
        self.registry = registry
        self.catalogue = catalogue
        self.mostInstances = mostInstances
    }

    /// Does something in the turn of a vGPU, which ends before, or when the registry has the vGPU as it is said here.
    ///
    /// - Parameter instance: of all that the vGPU is meanwhile, what takes the most.
    /// - Throws: ``MediationError/Code/exhausted`` when its parent hasn't so much left, or there are too many vGPUs;
    ///   and what `body` throws.
    func holding<Value>(
        _ instance: Instance, isolation: isolated (any Actor)? = #isolation,
        _ body: () async throws(MediationError) -> Value
    ) async throws(MediationError) -> Value {
        try claim(instance)
        defer { claimed.withLock { $0[instance.id] = nil } }
        return try await body()
    }

    private func claim(_ instance: Instance) throws(MediationError) {
        try claimed.withLock { [registry, catalogue, mostInstances] claimed throws(MediationError) in
            var known: [InstanceID: Instance] = [:]
            for instance in registry.all { known[instance.id] = instance }
            let before = known.removeValue(forKey: instance.id)
            known.merge(claimed) { _, claimed in claimed }
            if before == nil, known.count >= mostInstances {
                throw MediationError(
                    .exhausted,
                    "There are \(known.count) vGPUs, and there may be no more. Undefine one that isn't needed: "
                        + "'mediated list --defined' names them.")
            }
            if instance.isActive {
                let memory = try before.map { before throws(MediationError) in
                    before.isActive ? try catalogue.limits(of: before).videoMemory : 0
                }
                // What it has already is its own, even where an administrator has taken it from the parent since.
                if try catalogue.limits(of: instance).videoMemory > memory ?? 0 {
                    try catalogue.checkRoom(for: instance, beside: known.values)
                }
            }
            claimed[instance.id] = instance
        }
    }
}
