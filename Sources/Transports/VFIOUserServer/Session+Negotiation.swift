import Linux
import VFIO
import VFIOUserWire

extension Session {
    /// Agrees on what both sides can do. VFIO_USER_VERSION
    func negotiate(_ payload: RawSpan) throws -> Reply {
        guard client == nil else { throw Errno.invalidArgument }
        let offer = try Capabilities.Message(payload)
        guard offer.major == Capabilities.major else { throw Errno.notSupported }
        var mine = Capabilities()
        // QEMU takes an answer that exceeds its own offer for malformed.
        mine.maxMessageFDs = min(offer.capabilities.maxMessageFDs, ReceivedDescriptors.capacity)
        mine.maxDataTransfer = min(offer.capabilities.maxDataTransfer, Self.maximumTransfer)
        mine.maxDMAMaps = min(offer.capabilities.maxDMAMaps, function.host.memory.maximumMaps)
        // Only what the client offered may be answered.
        mine.writeMultiple = offer.capabilities.writeMultiple
        mine.migrationPageSize = offer.capabilities.migrationPageSize == nil ? nil : 4096
        var descriptors: [Int32] = []
        if offer.capabilities.twinSocket == .supported {
            descriptors.append(try dma.openTwinSocket())
            mine.twinSocket = .descriptor(index: 0)
        }
        // Its descriptors come behind the twin socket's.
        if offer.capabilities.accessRing == .supported, descriptors.count + 3 <= mine.maxMessageFDs {
            let ring = try openRing()
            mine.accessRing = .descriptors(index: descriptors.count)
            descriptors += ring.descriptors
        }
        client = offer.capabilities
        onAgreement()
        dma.maximumTransfer = min(offer.capabilities.maxDataTransfer, Self.maximumTransfer)
        var reply = replies.payloadBytes()
        return Reply(payload: mine.write(into: &reply), attachment: .descriptors(descriptors))
    }
}
