import CXen
import Linux
import PCI

/// Xen itself has the book of which server is whose: each of ours claims addresses that no processor can have.
extension RequestServer.Claim {
    /// Above all addresses there are, and with the form of what servers of ours leave behind.
    private static let marks: UInt64 = 1 << 62 | 1 << 40

    /// What every server of ours has: it takes no access that can be.
    public static let ours = Self.memory(marks...marks)

    /// What the server of a slot has.
    static func mark(of slot: FunctionAddress) -> Self {
        let mark = marks + 0x1_0000 + UInt64(slot.routingID)
        return .memory(mark...mark)
    }
}

extension RequestServer {
    /// A domain has no more. MAX_NR_IOREQ_SERVERS
    static let maximumServers: UInt16 = 8

    /// Whether a server has a mark. Nothing tells but to take it away, which changes nothing else; it is given back at
    /// once. Whoever looks at the same time would miss it: this is for ``DomainAccess/withLock(_:)``.
    private static func has(_ number: UInt16, _ mark: Claim, in domain: Domain) throws(XenError) -> Bool {
        do throws(XenError) { try release(mark, of: number, of: domain) } catch {
            // There is no such mark or server; or the server is one of another domain, which models devices for this
            // one.
            guard error.errno == .noSuchFileOrDirectory || error.errno == .notPermitted else { throw error }
            return false
        }
        try claim(mark, for: number, of: domain)
        return true
    }

    /// Whether another device model of the domain is none of ours. For ``DomainAccess/withLock(_:)``.
    var hasStrangersBeside: Bool {
        get throws(XenError) {
            for other in 0..<Self.maximumServers where other != number && Self.exists(other, in: domain) {
                if try !Self.has(other, .ours, in: domain) { return true }
            }
            return false
        }
    }

    /// The server that the process before this one has left in a slot, being killed. For
    /// ``DomainAccess/withLock(_:)``.
    ///
    /// - Returns: nil when there is none.
    /// - Throws: ``XenError`` with EBUSY when that process lives: it has the server's event channels.
    static func left(in slot: FunctionAddress, of access: DomainAccess) throws(XenError) -> RequestServer? {
        var found: UInt16?
        for number in 0..<maximumServers where try has(number, .mark(of: slot), in: access.domain) {
            found = number
            break
        }
        guard let number = found else { return nil }
        do throws(XenError) {
            return try RequestServer(number, of: access.domain, access.channels, isLeftBehind: true)
        } catch {
            guard error.errno == .invalidArgument else { throw error }
            let domain = access.domain.number
            throw XenError("slot \(slot) of domain \(domain), which another process serves", .resourceBusy)
        }
    }

    /// Makes it known as the server of a slot. For ``DomainAccess/withLock(_:)``.
    func mark(_ slot: FunctionAddress) throws(XenError) {
        try claim(.ours)
        try claim(.mark(of: slot))
    }
}
