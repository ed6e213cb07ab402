import Control
import Device
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
}

/// The same, when it is known that the place can be had.
enum TakenPlace {
    struct Slot {
        let slot: DomainSlot
        let open: OpenSlot
    }

    case socket(String)
    case slot(Slot)

    init(_ place: OpenPlace) throws(Failure) {
        switch place {
        case .socket(let path): self = .socket(path)
        case .slot(let slot, let domain):
            do throws(XenError) {
                self = .slot(Slot(slot: slot, open: try OpenSlot(slot.address, of: domain)))
            } catch {
                throw Failure(error, slot)
            }
        }
    }

    /// The domain's slot, where it is one.
    var slot: OpenSlot? {
        if case .slot(let slot) = self { slot.open } else { nil }
    }
}
