import Control
import Device
import DeviceCatalog
import GuestMemory
import Linux
import Xen
import XenSlot

/// A function whose device is made, and has its memory. It has read nothing of a stranger's yet.
struct MadeFunction {
    /// Where its accesses come from.
    enum Place {
        case socket(String)
        case slot(DomainSlot, OpenSlot)

        /// The domain's slot, where it is one.
        var slot: OpenSlot? {
            if case .slot(_, let slot) = self { slot } else { nil }
        }
    }

    let function: Function
    let place: Place

    /// - Parameters:
    ///   - count: how many functions there are in the process.
    init(_ arguments: DeviceArguments.Function, at opened: OpenPlace, ofFunctions count: Int) throws {
        let loop = try EventLoop()
        place = try opened.take(as: arguments.identity)
        let host = Host(
            loop: loop, memory: AddressSpace(functions: count),
            deviceMemory: place.slot?.deviceMemory ?? DeviceMemory(), hasGuestFiles: place.slot == nil)
        let device: any Device
        do {
            device = try DeviceCatalog.make(arguments.type, options: arguments.options, host: host)
        } catch let error as OptionError {
            throw Failure(Failure.Exit.usage, error.description)
        } catch let error as UnavailableError {
            throw Failure(Failure.Exit.cannotCreate, error.description)
        }
        function = try Function(device, host: host)
    }
}
