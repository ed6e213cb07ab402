import CXen
import Glibc
import Linux

/// The ends that this process has of event channels to one domain: `/dev/xen/evtchn`. They are closed with this object.
final class EventChannels: Sendable {
    /// Readable while something is pending.
    let descriptor: Descriptor
    private let domain: UInt16

    /// - Parameter domain: the one that channels may lead to. IOCTL_EVTCHN_RESTRICT_DOMID
    init(to domain: UInt16) throws(XenError) {
        self.domain = domain
        descriptor = try Descriptor(xen: "/dev/xen/evtchn")
        try call("to restrict event channels to domain \(domain)", cxen_restrict_channels(descriptor.raw, domain))
    }

    /// Makes a channel to a port that the domain has for that. IOCTL_EVTCHN_BIND_INTERDOMAIN
    ///
    /// - Returns: the number of this end.
    func bind(_ port: UInt32) throws(XenError) -> UInt32 {
        UInt32(try call("event channel \(port)", cxen_bind_channel(descriptor.raw, domain, port)))
    }

    /// Tells the other end. IOCTL_EVTCHN_NOTIFY
    func notify(_ port: UInt32) throws(XenError) {
        try call("to notify the other end of event channel \(port)", cxen_notify(descriptor.raw, port))
    }

    /// Takes the ends that are pending, and lets them become so again. `read(2)`, `write(2)`
    func takePending() {
        var ports = InlineArray<64, UInt32>(repeating: 0)
        var span = ports.mutableSpan
        let raw = descriptor.raw
        span.withUnsafeMutableBufferPointer { ports in
            let bytes = UnsafeMutableRawBufferPointer(ports)
            let size = read(raw, bytes.baseAddress, bytes.count)
            if size > 0 { _ = write(raw, bytes.baseAddress, size) }
        }
    }
}
