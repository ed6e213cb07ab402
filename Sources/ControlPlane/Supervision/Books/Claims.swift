import Linux
import Mediation
import PCI
import XenSlot

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

    /// Does something with a slot of a domain in the turn of the vGPU that is to be there, as ``holding(_:_:)``.
    ///
    /// - Parameters:
    ///   - instance: an active one.
    ///   - wanted: nil: the first of ``DomainSlot/addresses`` that no other vGPU has.
    /// - Throws: ``MediationError/Code/conflict`` when another vGPU has it, ``MediationError/Code/exhausted`` when
    ///   others have all; and what `body` throws.
    func holdingSlot<Value>(
        of instance: Instance, in domain: UInt16, at wanted: FunctionAddress?,
        isolation: isolated (any Actor)? = #isolation, _ body: (DomainSlot) async throws(MediationError) -> Value
    ) async throws(MediationError) -> Value {
        let slot = try claimSlot(of: instance, in: domain, at: wanted)
        defer { claimed.withLock { $0[instance.id] = nil } }
        return try await body(slot)
    }

    private func claimSlot(
        of instance: Instance, in domain: UInt16, at wanted: FunctionAddress?
    ) throws(MediationError) -> DomainSlot {
        try claimed.withLock { [registry] claimed throws(MediationError) in
            let others = Self.others(than: instance.id, registry, claimed)
            func owner(of address: FunctionAddress) -> Instance? {
                others.first { $0.slot == DomainSlot(domain: domain, address: address) }
            }
            if let wanted, let owner = owner(of: wanted) {
                throw MediationError(
                    .conflict,
                    "The vGPU \(owner.id) is in slot \(wanted) of domain \(domain). Name another slot, or none for a free one."
                )
            }
            guard let address = wanted ?? DomainSlot.addresses.first(where: { owner(of: $0) == nil }) else {
                throw MediationError(
                    .exhausted,
                    "Other vGPUs have the \(DomainSlot.addresses.count) slots of domain \(domain) that are taken "
                        + "unless one is named. Name another one.")
            }
            var claim = instance
            claim.slot = DomainSlot(domain: domain, address: address)
            claimed[instance.id] = claim
            return DomainSlot(domain: domain, address: address)
        }
    }

    private func claim(_ instance: Instance) throws(MediationError) {
        try claimed.withLock { [registry, catalogue, mostInstances] claimed throws(MediationError) in
            let before = registry.find(instance.id)
            let known = Self.others(than: instance.id, registry, claimed)
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
                    try catalogue.checkRoom(for: instance, beside: known)
                }
            }
            claimed[instance.id] = instance
        }
    }

    /// All others, as they are about to be.
    private static func others(
        than id: InstanceID, _ registry: Registry, _ claimed: [InstanceID: Instance]
    ) -> [Instance] {
        var known: [InstanceID: Instance] = [:]
        for instance in registry.all { known[instance.id] = instance }
        known.merge(claimed) { _, claimed in claimed }
        known[id] = nil
        return Array(known.values)
    }
}
