import Control
import Device
import Linux
import Mediation

/// Limits that change while a vGPU runs.
extension Manager {
    /// In the turn of the instance.
    func modifyLive(_ before: Instance, _ after: Instance) async throws(MediationError) {
        func fixed(_ instance: Instance) -> [Attribute] {
            instance.attributes.filter { !$0.isLimit }.sorted { $0.name < $1.name }
        }
        guard before.type == after.type, before.owner == after.owner, fixed(before) == fixed(after) else {
            throw MediationError(
                .conflict,
                "The vGPU \(before.id) runs: only its weight, frame-rate and vram can change now. Stop it for more.")
        }
        let (old, new) = (try catalogue.limits(of: before), try catalogue.limits(of: after))
        // Until it is stored it may still have, or have again, what it had before.
        try await claims.holding(new.videoMemory > old.videoMemory ? after : before) {
            () async throws(MediationError) in
            try await apply(new, insteadOf: old, to: after)
            do throws(MediationError) { try await registry.save(after, .modified, "Modified.") } catch {
                do throws(MediationError) { try await apply(old, insteadOf: new, to: before) } catch let second {
                    throw MediationError(.failed, "\(error) But the device process keeps its new limits: \(second)")
                }
                throw error
            }
        }
    }

    /// Puts limits into force where they differ from those that a running instance has had: its device need not have
    /// all. All of them, or none.
    private func apply(
        _ limits: Limits, insteadOf before: Limits, to instance: Instance
    ) async throws(MediationError) {
        try await applyQuota(limits, insteadOf: before, to: instance)
        do throws(MediationError) {
            try await applyToGroup(limits, insteadOf: before, of: instance)
        } catch {
            do throws(MediationError) {
                try await applyQuota(before, insteadOf: limits, to: instance)
            } catch let second {
                throw MediationError(error.code, "\(error) But the device process keeps its new limits: \(second)")
            }
            throw error
        }
        if limits.weight != before.weight, !launcher.hasProcessorGroups, let process = instance.process {
            Weight(limits.weight).apply(toSessionOf: process.id)
        }
    }

    /// The kernel may have to take memory away for it, and take its time.
    private func applyToGroup(
        _ limits: Limits, insteadOf before: Limits, of instance: Instance
    ) async throws(MediationError) {
        guard let groups = launcher.groups else { return }
        let id = instance.id
        let failure = await inAnyCase { () -> String? in
            do throws(Errno) { try groups.apply(limits, to: id) } catch {
                do throws(Errno) { try groups.apply(before, to: id) } catch let second {
                    return "\(error). Some of its limits are new: \(second)"
                }
                return "\(error)"
            }
            return nil
        }
        if let failure {
            throw MediationError(.failed, "The control group of the vGPU \(id) can't be changed: \(failure).")
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
        _ = try await ask(instance.id) { try $0.modify(quota) }
    }
}
