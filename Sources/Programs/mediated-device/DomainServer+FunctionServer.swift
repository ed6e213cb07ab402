import Control
import Device
import JSON
import Linux
import Xen

extension DomainSlot {
    /// What makes the memory behind the BARs of the function that is to be there.
    func barMemory() throws(Failure) -> BARMemory {
        do throws(XenError) { return try BARMemory(of: domain) } catch { throw Failure(error, self) }
    }

    /// Puts a function there.
    func makeServer(of function: Function, _ barMemory: BARMemory?) throws(Failure) -> any FunctionServer {
        do throws(XenError) {
            return try DomainServer(function, domain: domain, at: address, barMemory: barMemory)
        } catch {
            throw Failure(error, self)
        }
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
    fileprivate init(_ error: XenError, _ slot: DomainSlot) {
        let (status, advice) =
            switch error.errno {
            case .noSuchFileOrDirectory:
                (Exit.cannotCreate, "Is this the domain 0 of a Xen, with modules xen-privcmd and xen-evtchn loaded?")
            case .permissionDenied, .notPermitted:
                (Exit.noPermission, "It takes root, or access to the files of /dev/xen.")
            case .noSuchProcess: (DeviceArguments.noDomain, "There is no domain \(slot.domain).")
            case .invalidArgument: (Exit.noInput, "Domain \(slot.domain) is neither HVM nor PVH.")
            default: (Exit.cannotCreate, "The function can't be in \(slot).")
            }
        self.init(status, "\(error) \(advice)")
    }
}
