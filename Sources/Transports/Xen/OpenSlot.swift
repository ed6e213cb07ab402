import Device
import Linux
import PCI

/// A slot of a domain's, before a function is in it: it has the memory behind the function's BARs made.
///
/// When the process that served the slot before was killed, Xen still has its server, and a virtual processor may wait
/// for an answer. Then the function goes on in that server, and with that memory.
public final class OpenSlot {
    public let address: FunctionAddress
    let access: DomainAccess
    /// The server that a killed process has left, and what it noted.
    let remains: (server: RequestServer, record: SlotRecord)?
    let barMemory: BARMemory

    /// - Throws: ``XenError`` with EBUSY where a living process serves the slot, and as `Domain.init(_:)` does.
    public init(_ address: FunctionAddress, of access: DomainAccess) throws(XenError) {
        self.address = address
        self.access = access
        // One that can't be gone on with is given up: whoever waits for it gets all ones.
        remains = try RequestServer.left(in: address, of: access).flatMap { server in
            guard let record = server.record else {
                server.isLeftBehind = false
                return nil
            }
            return (server, record)
        }
        barMemory = try BARMemory(in: address, of: access, remains?.record)
    }

    /// What the function's host is to have as its device memory.
    public var deviceMemory: DeviceMemory { barMemory.deviceMemory }

    /// Whether a process that was killed had this memory: what is in it is newer than any saved state.
    public func isKept(_ memory: MappedBytes) -> Bool { remains != nil && barMemory.firstFrame(behind: memory) != nil }

    /// No more memory is made from here on, and nothing here can do to a domain what isn't restricted: for when the
    /// device has its memory, before anything of a stranger's is read.
    public func seal() { access.seal() }
}
