import Control
import Linux
import Xen
import XenSlot

extension SlotRelease {
    /// Does what the process was started for.
    func run() throws(Failure) {
        let access = try access()
        try identity?.become()
        access.seal()
        guard let left = try left(access) else { return DeviceProcess.say("Nothing was left in \(slot).") }
        // What was left is a stranger's, and is read when nothing else can be done.
        if isSandboxed {
            let limits = ResourceLimit.ofDevice(memory: nil, functions: 1)
            _ = try DeviceProcess.confine(limits: limits, usesXen: true) { () throws(Errno) in }
        }
        left.release()
        DeviceProcess.say("Gave up what was left in \(slot).")
    }

    private func access() throws(Failure) -> DomainAccess {
        do throws(XenError) { return try DomainAccess(slot.domain) } catch { throw Failure(error, slot) }
    }

    private func left(_ access: DomainAccess) throws(Failure) -> LeftSlot? {
        do throws(XenError) { return try LeftSlot(slot.address, of: access) } catch {
            // Nothing is left in a domain that has ended.
            guard error.errno != .noSuchProcess else { return nil }
            throw Failure(error, slot)
        }
    }
}
