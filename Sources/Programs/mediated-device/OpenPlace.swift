import Control
import Linux
import Xen
import XenSlot

/// Where a function's accesses come from, with all done that takes privileges.
enum OpenPlace: Sendable {
    case socket(String)
    case slot(DomainSlot, DomainAccess)

    init(_ place: DeviceArguments.Place) throws(Failure) {
        switch place {
        case .socket(let path): self = .socket(path)
        case .slot(let slot):
            do throws(XenError) { self = .slot(slot, try DomainAccess(slot.domain)) } catch {
                throw Failure(error, slot)
            }
        }
    }

    /// Has the place, when it is known that it can be had.
    func take(as identity: String?) throws(Failure) -> MadeFunction.Place {
        switch self {
        case .socket(let path): return .socket(path)
        case .slot(let slot, let domain):
            do throws(XenError) {
                return .slot(slot, try OpenSlot(slot.address, of: domain, as: identity.flatMap { SlotIdentity($0) }))
            } catch { throw Failure(error, slot) }
        }
    }

    /// From here on nothing here could harm another domain.
    func seal() {
        if case .slot(_, let domain) = self { domain.seal() }
    }
}
