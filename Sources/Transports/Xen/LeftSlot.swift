import PCI

/// What a killed process has left in a slot for which no other one comes.
public final class LeftSlot {
    private let address: FunctionAddress
    private let domain: Domain
    private let server: RequestServer

    /// - Returns: nil when nothing is left there.
    /// - Throws: ``XenError`` with EBUSY where a living process serves the slot, with ESRCH when there is no such
    ///   domain.
    public init?(_ address: FunctionAddress, of access: DomainAccess) throws(XenError) {
        let left = try access.withLock { () throws(XenError) in try RequestServer.left(in: address, of: access) }
        guard let left else { return nil }
        (self.address, domain, server) = (address, access.domain, left)
    }

    /// Gives it up: whoever waits there gets all ones, nothing is in the slot any more, and the frames behind its BARs
    /// go where the next process finds them.
    public func release() {
        // It was another process's record: what can't be done is left.
        for part in server.record?.parts ?? [] where BARMemory.homes(of: address).contains(part.home) {
            try? domain.move(UInt32(clamping: part.count), framesFrom: part.now, to: part.home)
        }
        if address.bus == 0 { try? domain.set(.a, ofDevice: address.device, asserted: false) }
        // With its last owner the server goes.
        server.isLeftBehind = false
    }
}
