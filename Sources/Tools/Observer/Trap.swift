import CLinux
import JSON
import VFIO

/// Takes out of messages what lets a client reach a region by other ways than messages.
enum Trap {
    struct Altered {
        var bytes: [UInt8]
        var keepsDescriptors: Bool
    }

    /// - Returns: nil for a message that stays as it is.
    static func altered(_ header: MessageHeader, _ message: RawSpan, from sender: Sender) -> Altered? {
        let payload = message.extracting(droppingFirst: MessageHeader.size)
        switch (sender, header.type, Command(rawValue: header.command)) {
        case (.client, .command, .version): return withoutRing(header, payload)
        case (.server, .reply, .deviceGetRegionInfo): return withoutMapping(message)
        case (.server, .reply, .deviceGetRegionIOFDs): return withoutDoorbells(header, payload)
        default: return nil
        }
    }

    /// The client's offer without the access ring: the rest is as it was.
    private static func withoutRing(_ header: MessageHeader, _ payload: RawSpan) -> Altered? {
        guard payload.byteCount > Capabilities.size else { return nil }
        let text = payload.extracting(Capabilities.size..<payload.byteCount - 1)
        guard let document = try? JSON(parsing: text), var object = document.object,
            var capabilities = object["capabilities"]?.object, capabilities["access_ring"] != nil
        else { return nil }
        capabilities["access_ring"] = nil
        object["capabilities"] = .object(capabilities)
        let head = payload.extracting(0..<Capabilities.size)
        var bytes: [UInt8] = []
        bytes.append(head)
        bytes += JSON.object(object).text.utf8
        bytes.append(0)
        return Altered(bytes: message(header, bytes), keepsDescriptors: true)
    }

    /// The place of fields in `struct vfio_region_info` and of its capabilities, behind the message's header.
    private enum Place {
        static let flags = MessageHeader.size + 4
        static let capabilities = MessageHeader.size + 12
        static let next = 4
    }

    /// The answer without the flag that says that the region can be mapped, and without the list of parts that can.
    private static func withoutMapping(_ message: RawSpan) -> Altered? {
        guard message.byteCount >= MessageHeader.size + RegionInfo.size else { return nil }
        var bytes: [UInt8] = []
        bytes.append(message)
        var flags = RegionInfo.Flags(rawValue: number(bytes, Place.flags))
        flags.remove(.mmap)
        if flags.rawValue & UInt32(VFIO_REGION_INFO_FLAG_CAPS) != 0 {
            takeOutAreas(&bytes)
            if number(bytes, Place.capabilities) == 0 {
                flags = RegionInfo.Flags(rawValue: flags.rawValue & ~UInt32(VFIO_REGION_INFO_FLAG_CAPS))
            }
        }
        store(flags.rawValue, &bytes, Place.flags)
        return Altered(bytes: bytes, keepsDescriptors: false)
    }

    /// Has the list of capabilities pass over those that name parts to be mapped.
    private static func takeOutAreas(_ bytes: inout [UInt8]) {
        var link = Place.capabilities
        while true {
            let next = Int(number(bytes, link))
            let place = MessageHeader.size + next
            // A list that doesn't go forward would be a loop.
            guard next > 0, place > link, place <= bytes.count - 8 else { return }
            let id = UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8
            if id == UInt16(VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
                store(number(bytes, place + Place.next), &bytes, link)
                // The next one must lie behind this one still.
                guard Int(number(bytes, link)) == 0 || Int(number(bytes, link)) > next else {
                    return store(0, &bytes, link)
                }
            } else {
                link = place + Place.next
            }
        }
    }

    /// An answer that the region has none.
    private static func withoutDoorbells(_ header: MessageHeader, _ payload: RawSpan) -> Altered? {
        guard payload.byteCount >= RegionIOFDs.size else { return nil }
        var bytes: [UInt8] = []
        bytes.append(payload.extracting(0..<RegionIOFDs.size))
        store(UInt32(RegionIOFDs.size), &bytes, 0)
        store(0, &bytes, RegionIOFDs.size - 4)
        return Altered(bytes: message(header, bytes), keepsDescriptors: false)
    }

    // MARK: Bytes

    private static func message(_ header: MessageHeader, _ payload: [UInt8]) -> [UInt8] {
        var header = header
        header.messageSize = UInt32(MessageHeader.size + payload.count)
        var bytes = [UInt8](repeating: 0, count: MessageHeader.size)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        header.write(into: &raw)
        return bytes + payload
    }

    private static func number(_ bytes: [UInt8], _ place: Int) -> UInt32 {
        bytes.span.bytes.unsafeLoadUnaligned(fromByteOffset: place, as: UInt32.self)
    }

    private static func store(_ number: UInt32, _ bytes: inout [UInt8], _ place: Int) {
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        raw.storeBytes(of: number, toByteOffset: place, as: UInt32.self)
    }
}
