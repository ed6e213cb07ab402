import Linux
import PCI
import VFIO

/// Writes messages of vfio-user down, a line each for people.
public enum MessageText {
    /// Who sent it, its command, where it leads, and what is in it.
    public static func line(_ message: RawSpan, descriptors: [String], from sender: Sender) -> String {
        guard message.byteCount >= MessageHeader.size else { return "\(sender)  \(message.byteCount) bytes" }
        let header = MessageHeader(message)
        let payload = message.extracting(droppingFirst: MessageHeader.size)
        let command = Command(rawValue: header.command)
        let isReply = header.type == .reply
        var words = [
            padded("\(sender)", 6), padded(name(of: header) + (isReply ? " reply" : ""), 30),
        ]
        if header.flags.contains(.error) {
            words.append("\(Errno(rawValue: Int32(truncatingIfNeeded: header.error)))")
        } else if payload.byteCount > 0, let command {
            words.append((try? detail(command, payload, isReply)) ?? "malformed, \(payload.byteCount) bytes")
        }
        if !descriptors.isEmpty { words.append("with \(descriptors.joined(separator: ","))") }
        return words.joined(separator: "  ")
    }

    /// The command's name as the specification has it, without VFIO_USER_.
    static func name(of header: MessageHeader) -> String {
        Command(rawValue: header.command)?.name ?? "command \(header.command)"
    }

    private static func detail(
        _ command: Command, _ payload: RawSpan, _ isReply: Bool
    ) throws(MalformedMessage) -> String {
        switch command {
        case .version:
            let version = try Capabilities.Message(payload)
            return "\(version.major).\(version.minor) \(version.capabilities.text)"
        case .dmaMap:
            let map = try DMAMap(payload)
            return "\(hexadecimal(map.address)) + \(hexadecimal(map.length))"
        case .dmaUnmap where !isReply:
            let unmap = try DMAUnmap(payload)
            return unmap.all ? "all" : "\(hexadecimal(unmap.address)) + \(hexadecimal(unmap.length))"
        case .deviceGetInfo where isReply:
            let info = try DeviceInfo(payload)
            return "\(info.regionCount) regions, \(info.irqCount) types of interrupts"
        case .deviceGetRegionInfo where isReply:
            let info = try RegionInfo.Reply(payload).info
            let ways = [(RegionInfo.Flags.read, "read"), (.write, "write"), (.mmap, "mmap")]
            return
                ([region(info.index), "\(hexadecimal(info.length)) bytes"]
                + ways.filter { info.flags.contains($0.0) }.map(\.1)).joined(separator: "  ")
        case .deviceGetRegionInfo: return region(try RegionInfo.Request(payload).index)
        case .deviceGetRegionIOFDs where isReply:
            let info = try RegionIOFDs.Reply(payload).info
            return "\(region(info.index))  \(info.entries.count) doorbells"
        case .deviceGetRegionIOFDs: return region(try RegionIOFDs.Request(payload).index)
        case .deviceGetIRQInfo:
            let info = try IRQInfo(payload)
            return isReply ? "\(interrupts(info.index))  \(info.count)" : interrupts(info.index)
        case .deviceSetIRQs:
            let set = try IRQSet(payload)
            return "\(interrupts(set.index))  \(set.start) + \(set.count)  \(set.action) by \(set.data)"
        case .regionRead, .regionWrite:
            let hasData = payload.byteCount > RegionAccess.size
            let access = try hasData ? RegionAccess(withData: payload) : RegionAccess(read: payload)
            return "\(region(access.region))+\(hexadecimal(access.offset))  "
                + (hasData ? value(payload, from: RegionAccess.size) : "\(access.count) bytes")
        case .dmaRead, .dmaWrite:
            let hasData = payload.byteCount > DMATransfer.size
            let transfer = try hasData ? DMATransfer(withData: payload) : DMATransfer(read: payload)
            return "\(hexadecimal(transfer.address))  \(transfer.count) bytes"
        case .regionWriteMulti: return "\(try SmallRegionWrite.count(payload)) writes"
        case .deviceFeature:
            let feature = try DeviceFeature(payload)
            let operation =
                feature.operations.contains(.probe)
                ? "probe"
                : feature.operations.contains(.set) ? "set" : "get"
            let name = Feature(rawValue: feature.index).map { "\($0)" } ?? "feature \(feature.index)"
            return "\(operation) \(name)"
        case .migrationDataRead where !isReply: return "\(try MigrationData(read: payload).count) bytes"
        case .migrationDataRead, .migrationDataWrite: return "\(try MigrationData(withData: payload).count) bytes"
        default: return "\(payload.byteCount) bytes"
        }
    }

    // MARK: Words

    private static func region(_ index: UInt32) -> String {
        Int(index) < RegionIndex.names.count ? RegionIndex.names[Int(index)] : "region \(index)"
    }

    private static func interrupts(_ index: UInt32) -> String {
        InterruptKind(rawValue: index).map { "\($0)" } ?? "interrupts \(index)"
    }

    /// Up to eight bytes as a number; of more their count.
    private static func value(_ payload: RawSpan, from start: Int) -> String {
        let count = payload.byteCount - start
        guard count <= 8 else { return "\(count) bytes" }
        var number: UInt64 = 0
        for index in 0..<count {
            number |= UInt64(payload.unsafeLoad(fromByteOffset: start + index, as: UInt8.self)) << UInt64(8 * index)
        }
        let text = String(number, radix: 16)
        return "0x" + String(repeating: "0", count: 2 * count - text.count) + text
    }

    private static func hexadecimal(_ number: UInt64) -> String { "0x" + String(number, radix: 16) }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
