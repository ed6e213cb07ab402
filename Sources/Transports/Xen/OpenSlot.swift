import Device
import Linux
import PCI

/// A slot of a domain's, before a function is in it: its server is there, and it has the memory behind the function's
/// BARs made.
///
/// When the process that served the slot before was killed, Xen still has its server, and a virtual processor may wait
/// for an answer. Where that process had the same identity, the function goes on in that server, and with that memory.
public final class OpenSlot {
    public let address: FunctionAddress
    let access: DomainAccess
    let server: RequestServer
    /// What a killed process of the same identity has noted; nil: the function begins anew.
    let record: SlotRecord?
    /// Whether no other device model of the domain is a stranger's.
    let isAmongOurs: Bool
    let barMemory: BARMemory

    /// - Parameter identity: whose the function is to be. Nil goes on where a process was killed that had none, too.
    /// - Throws: ``XenError`` with EBUSY where a living process serves the slot, and as `Domain.init(_:)` does.
    public init(
        _ address: FunctionAddress, of access: DomainAccess, as identity: SlotIdentity? = nil
    ) throws(XenError) {
        self.address = address
        self.access = access
        (server, record, isAmongOurs) = try access.withLock {
            () throws(XenError) -> (RequestServer, SlotRecord?, Bool) in
            if let left = try RequestServer.left(in: address, of: access) {
                if let record = left.record(of: identity) {
                    return (left, record, try !left.hasStrangersBeside)
                }
                // Whoever waits for one that isn't gone on with gets all ones.
                left.isLeftBehind = false
            }
            let server = try RequestServer(access.domain, access.channels)
            server.note(identity)
            try server.mark(address)
            return (server, nil, try !server.hasStrangersBeside)
        }
        barMemory = try BARMemory(in: address, of: access, record)
    }

    /// What the function's host is to have as its device memory.
    public var deviceMemory: DeviceMemory { barMemory.deviceMemory }

    /// Whether a process that was killed had this memory: what is in it is newer than any saved state.
    public func isKept(_ memory: MappedBytes) -> Bool { record != nil && barMemory.firstFrame(behind: memory) != nil }
}
