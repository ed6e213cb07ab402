import CXen
import Glibc
import Linux
import PCI

/// A domain, as its device models have it: by `/dev/xen/privcmd`. Unless said otherwise that is restricted to this one
/// domain and to what a device model needs: what is done here can't be taken to another domain. IOCTL_PRIVCMD_RESTRICT
public final class Domain: Guest, Sendable {
    /// How large a frame of a domain's memory is, in bytes. XEN_PAGE_SIZE
    static let frameSize = 4096

    public let number: UInt16
    let privcmd: Descriptor

    /// - Throws: ``XenError`` with ENOENT where no Xen is, or this is no domain that controls others; with EACCES for
    ///   whoever may not open it.
    public convenience init(_ number: UInt16) throws(XenError) {
        try self.init(unrestricted: number)
        try call("to restrict a device model to domain \(number)", cxen_restrict(privcmd.raw, number))
    }

    /// All that domain 0 may do.
    init(unrestricted number: UInt16) throws(XenError) {
        self.number = number
        privcmd = try Descriptor(xen: "/dev/xen/privcmd")
    }

    /// How many virtual processors it has. XEN_DMOP_nr_vcpus
    ///
    /// - Throws: ``XenError`` with ESRCH when there is no such domain, EINVAL for one whose devices nobody can model: a
    ///   PV domain.
    public func countProcessors() throws(XenError) -> Int {
        var count: UInt32 = 0
        try call("the number of processors of domain \(number)", cxen_count_processors(privcmd.raw, number, &count))
        return Int(count)
    }

    /// Sends a message-signalled interrupt. XEN_DMOP_inject_msi
    public func send(_ message: MSIMessage) throws(XenError) {
        try call("a message", cxen_send_message(privcmd.raw, number, message.address, message.data))
    }

    /// Sets the level of an interrupt pin of a device on bus 0. XEN_DMOP_set_pci_intx_level
    public func set(_ pin: InterruptPin, ofDevice device: UInt8, asserted: Bool) throws(XenError) {
        try call("the level of a pin", cxen_set_pin(privcmd.raw, number, device, pin.rawValue - 1, asserted))
    }

    /// Takes frames of the guest's memory elsewhere, with what is in them. XEN_DMOP_relocate_memory
    public func move(_ count: UInt32, framesFrom from: UInt64, to: UInt64) throws(XenError) {
        try call(
            "\(count) frames from \(from) at \(to)", cxen_move_frames(privcmd.raw, number, from, to, count))
    }

    /// Tells that frames were written from here, so that a migration sends them once more. XEN_DMOP_modified_memory
    func tellWritten(_ extents: Span<cxen_extent>) {
        extents.withUnsafeBufferPointer { extents in
            // It fails for nobody but a domain that has ended.
            _ = cxen_tell_written(privcmd.raw, number, extents.baseAddress, UInt32(extents.count))
        }
    }

    /// Maps ``ForeignWindow/frames`` frames of the guest's memory, as many of them as there are.
    /// IOCTL_PRIVCMD_MMAPBATCH_V2
    ///
    /// - Parameter first: the number of the first frame, a multiple of that.
    public func map(framesFrom first: UInt64) throws(XenError) -> ForeignWindow {
        let mapping = try Mapping(xen: privcmd, pages: ForeignWindow.frames)
        let frames = ForeignWindow.Each<UInt64> { first + UInt64($0) }
        var errors = ForeignWindow.Each<Int32>(repeating: -EINVAL)
        let raw = privcmd.raw
        var span = errors.mutableSpan
        let result = frames.span.withUnsafeBufferPointer { frames in
            span.withUnsafeMutableBufferPointer { errors in
                cxen_map_frames(
                    raw, number, mapping.base, UInt32(ForeignWindow.frames), frames.baseAddress, errors.baseAddress)
            }
        }
        try call("to map \(ForeignWindow.frames) frames from \(first) on", result)
        var present: UInt64 = 0
        for index in errors.indices where errors[index] == 0 { present |= 1 << UInt64(index) }
        return ForeignWindow(mapping: mapping, present: present)
    }
}

extension Descriptor {
    /// Opens one of the devices by which Linux shows Xen.
    init(xen path: String) throws(XenError) {
        let raw = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)
        guard raw >= 0 else { throw XenError("to open \(path)", Errno(rawValue: errno)) }
        self.init(owning: raw)
    }
}

extension Mapping {
    /// Address space of privcmd's, in which nothing is yet: it is for whoever makes it to map something there before it
    /// is touched.
    convenience init(xen privcmd: borrowing Descriptor, pages: Int) throws(XenError) {
        do throws(Errno) {
            try self.init(of: privcmd, size: pages * Domain.frameSize)
        } catch {
            throw XenError("address space for \(pages) pages", error)
        }
    }
}
