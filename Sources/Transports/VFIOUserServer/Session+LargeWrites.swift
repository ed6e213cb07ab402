import Device
import Linux
import VFIO
import VFIOUserWire

/// A large write to memory behind a BAR goes there as its bytes arrive, with no copy of them between.
///
/// The memory is the client's as much as the device's, who may have it mapped: a write that goes on for long, or never
/// ends, leaves it no worse than stores would. Whether the bytes may go there is asked anew for each piece. Once they
/// may not, the rest arrives like any other message, and is refused or carried out when it is whole.
extension Session {
    /// Receives once.
    func receive(isPolling: Bool) throws(MessageStream.Failure) {
        guard !stream.isEmpty, let message = stream.incomplete, let place = place(ofWrite: message) else {
            return try stream.fill(in: loop, isPolling: isPolling)
        }
        written += try stream.fill(
            place.memory, at: place.offset, count: place.count, in: loop, isPolling: isPolling)
    }

    /// Where the bytes that are to come of an incomplete message go, and how many they are. Those that have arrived are
    /// there then.
    ///
    /// - Returns: nil when it is no write, or none that may go straight to memory.
    private func place(ofWrite message: MessageStream.Message) -> (memory: MappedBytes, offset: Int, count: Int)? {
        let (header, payload) = (message.header, stream.payload(of: message))
        guard client != nil, header.type == .command, header.command == Command.regionWrite.rawValue,
            !stream.hasDescriptors(message), !stream.lacksDescriptors(message), payload.byteCount >= RegionAccess.size,
            let access = try? RegionAccess(read: payload.extracting(first: RegionAccess.size))
        else { return nil }
        let count = Int(access.count)
        guard count >= Self.leastByMemory, count <= Self.maximumTransfer,
            Int(header.messageSize) == MessageHeader.size + RegionAccess.size + count - written,
            let memory = function.writableMemory(region: Int(access.region), offset: access.offset, count: count)
        else { return nil }
        let arrived = payload.extracting(droppingFirst: RegionAccess.size)
        if !arrived.isEmpty {
            memory.replace(at: Int(access.offset) + written, with: arrived)
            stream.cutArrived(arrived.byteCount)
            written += arrived.byteCount
        }
        return (memory, Int(access.offset) + written, count - written)
    }
}
