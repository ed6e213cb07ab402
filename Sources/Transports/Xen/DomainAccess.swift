import Linux

/// A domain, opened for a device model: all that takes privileges is done when this is there.
///
/// It opens `/dev/xen/privcmd` twice and `/dev/xen/evtchn` once. One descriptor can do all that domain 0 may, until
/// ``seal()``; the others are restricted to the domain from the beginning.
public final class DomainAccess: Sendable {
    let domain: Domain
    let channels: EventChannels
    private let whole: Locked<Domain?>

    /// - Throws: as `Domain.init(_:)` does.
    public init(_ number: UInt16) throws(XenError) {
        whole = Locked(try Domain(unrestricted: number))
        domain = try Domain(number)
        channels = try EventChannels(to: number)
    }

    /// What may make memory for the domain; nil once it is sealed.
    var unrestricted: Domain? { whole.withLock { $0 } }

    /// Has something done while no other process looks for servers, or makes one: for all domains at once. A process
    /// that is confined can't take the lock.
    func withLock<Result>(_ body: () throws(XenError) -> Result) throws(XenError) -> Result {
        do throws(Errno) { try domain.privcmd.lock(within: .seconds(10)) } catch {
            throw XenError("to look for a slot while another process does", error)
        }
        defer { domain.privcmd.unlock() }
        return try body()
    }

    /// From here on nothing here can do to a domain what isn't restricted, and no memory is made for one: for when all
    /// devices of the process have theirs, before anything of a stranger's is read.
    public func seal() { whole.withLock { $0 = nil } }
}
