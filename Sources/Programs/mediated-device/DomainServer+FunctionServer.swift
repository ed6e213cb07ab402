import Control
import Device
import JSON
import Linux
import Xen
import XenSlot

extension OpenSlot {
    /// Puts a function there.
    ///
    /// - Parameters:
    ///   - slot: the same, for people.
    ///   - stays: whether the function outlives the domain.
    ///   - events: what happens to the domain goes there.
    func makeServer(
        of function: Function, at slot: DomainSlot, stays: Bool, events: EventLog
    ) throws(Failure) -> any FunctionServer {
        let server: DomainServer
        do throws(XenError) { server = try DomainServer(function, in: self) } catch { throw Failure(error, slot) }
        server.stays = stays
        server.onEvent = { events.append(ControlEvent.Kind($0), $0.description) }
        return server
    }
}

extension ControlEvent.Kind {
    /// A domain is what a client is under other transports.
    fileprivate init(_ event: DomainServer.Event) {
        self =
            switch event {
            case .connected: .clientConnected
            case .ended: .clientLeft
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
    init(_ error: XenError, _ slot: DomainSlot) {
        let (status, advice) =
            switch error.errno {
            case .noSuchFileOrDirectory:
                (Exit.cannotCreate, "Is this the domain 0 of a Xen, with modules xen-privcmd and xen-evtchn loaded?")
            case .permissionDenied, .notPermitted:
                (Exit.noPermission, "It takes root, or access to the files of /dev/xen.")
            case .resourceBusy: (Exit.cannotCreate, "Stop that one, or take another slot.")
            case .noSuchProcess: (DeviceArguments.noDomain, "There is no domain \(slot.domain).")
            case .invalidArgument: (Exit.noInput, "Domain \(slot.domain) is neither HVM nor PVH.")
            default: (Exit.cannotCreate, "The function can't be in \(slot).")
            }
        self.init(status, "\(error) \(advice)")
    }
}
