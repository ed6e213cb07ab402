import Control
import Device
import JSON
import Linux
import Xen

/// Puts a function into a domain's slot.
func makeServer(of function: Function, in slot: DeviceArguments.DomainSlot) throws(Failure) -> any FunctionServer {
    do throws(XenError) {
        return try DomainServer(function, domain: slot.domain, at: slot.address)
    } catch {
        throw Failure(error, slot)
    }
}

extension DomainServer: FunctionServer {
    var hasClient: Bool { hasDomain }

    var counters: JSON.Object {
        [
            "accesses": JSON(accesses), "invalidations": JSON(invalidations),
            "impossibleRequests": JSON(impossibleRequests),
        ]
    }
}

extension Failure {
    fileprivate init(_ error: XenError, _ slot: DeviceArguments.DomainSlot) {
        let (status, advice) =
            switch error.errno {
            case .noSuchFileOrDirectory:
                (Exit.cannotCreate, "Is this the domain 0 of a Xen, with modules xen-privcmd and xen-evtchn loaded?")
            case .permissionDenied, .notPermitted:
                (Exit.noPermission, "It takes root, or access to the files of /dev/xen.")
            case .noSuchProcess: (Exit.noInput, "There is no domain \(slot.domain).")
            case .invalidArgument: (Exit.noInput, "Domain \(slot.domain) is neither HVM nor PVH.")
            default: (Exit.cannotCreate, "The function can't be in \(slot).")
            }
        self.init(status, "\(error) \(advice)")
    }
}
