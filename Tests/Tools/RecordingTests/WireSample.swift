import Recording
import Tap
import Testing

/// A message of vfio-user's, and what its fields are for tshark.
struct WireSample: Sendable, CustomTestStringConvertible {
    enum Sender: UInt8 { case client = 1, server }

    var command: UInt16
    var from = Sender.client
    var isReply = false
    var payload: [UInt8] = []
    var descriptors = ""
    var fields: [(name: String, value: String)] = []

    var testDescription: String { "command \(command)\(isReply ? " reply" : "")" }

    var record: Record {
        var record = Record(.wire)
        record.way = Way(rawValue: from.rawValue)
        record.name = descriptors
        record.bytes =
            little(UInt16(7)) + little(command) + little(UInt32(16 + payload.count)) + little(UInt32(isReply ? 1 : 0))
            + little(UInt32(0)) + payload
        record.count = UInt64(record.bytes.count)
        return record
    }

    /// Each command with each of its forms, by the vfio-user specification.
    static let all: [WireSample] = [
        .init(
            command: 1, payload: little(UInt16(0)) + little(UInt16(1)) + Array("{}\0".utf8),
            fields: [("version.major", "0"), ("version.minor", "1"), ("version.capabilities", "{}")]),
        .init(
            command: 2,
            payload: words(32, 3) + longs(0x1000, 0x10_0000, 0x20_0000), descriptors: "memfd",
            fields: [
                ("argsz", "32"), ("dma_map.flags.read", "1"), ("dma_map.flags.write", "1"),
                ("dma.file_offset", hexadecimal(0x1000)), ("address", hexadecimal(0x10_0000)),
                ("dma.size", hexadecimal(0x20_0000)), ("descriptors", "memfd"),
            ]),
        .init(
            command: 3, from: .server, isReply: true,
            payload: words(40, 1) + longs(0x10_0000, 0x20_0000, 4096, 8) + longs(5),
            fields: [
                ("dma_unmap.flags.get_dirty_bitmap", "1"), ("dma_unmap.flags.all", "0"),
                ("address", hexadecimal(0x10_0000)), ("dma.size", hexadecimal(0x20_0000)),
                ("bitmap.page_size", "4096"), ("bitmap.size", "8"), ("data", "0500000000000000"),
            ]),
        .init(
            command: 4, from: .server, isReply: true, payload: words(16, 3, 9, 5),
            fields: [
                ("device.flags.reset", "1"), ("device.flags.pci", "1"), ("device.regions", "9"),
                ("device.irqs", "5"),
            ]),
        .init(
            command: 5, from: .server, isReply: true,
            payload: words(64, 15, 2, 32) + longs(0x4000, 0x8000) + words(0x10001, 0, 1, 0) + longs(0x1000, 0x2000),
            descriptors: "memfd",
            fields: [
                ("region.flags", "0x0000000f"), ("region", "2"), ("region.cap_offset", "32"),
                ("region.size", hexadecimal(0x4000)), ("region.file_offset", hexadecimal(0x8000)), ("cap.id", "1"),
                ("cap.areas", "1"), ("area.offset", hexadecimal(0x1000)), ("area.size", hexadecimal(0x2000)),
            ]),
        .init(
            command: 6, from: .server, isReply: true,
            payload: words(56, 0, 2, 1) + longs(0x10, 4) + words(0, 1, 0, 0) + longs(9), descriptors: "eventfd",
            fields: [
                ("io_fds.count", "1"), ("io_fd.offset", hexadecimal(0x10)), ("io_fd.size", "4"), ("io_fd.type", "1"),
                ("io_fd.datamatch", hexadecimal(9)),
            ]),
        .init(
            command: 7, from: .server, isReply: true, payload: words(16, 9, 2, 3),
            fields: [
                ("irq.index", "2"), ("irq.flags.eventfd", "1"), ("irq.flags.noresize", "1"), ("irq.count", "3"),
            ]),
        .init(
            command: 8, payload: words(20, 0x24, 2, 1, 3), descriptors: "eventfd,eventfd,eventfd",
            fields: [
                ("irq_set.flags.data_eventfd", "1"), ("irq_set.flags.trigger", "1"), ("irq.index", "2"),
                ("irq.start", "1"), ("irq.count", "3"),
            ]),
        .init(
            command: 9, payload: longs(4) + words(7, 2),
            fields: [("offset", hexadecimal(4)), ("region", "7"), ("bytes", "2")]),
        .init(
            command: 9, from: .server, isReply: true, payload: longs(4) + words(7, 2) + [1, 2],
            fields: [("offset", hexadecimal(4)), ("region", "7"), ("data", "0102")]),
        .init(
            command: 10, payload: longs(4) + words(0, 4) + words(5),
            fields: [("offset", hexadecimal(4)), ("region", "0"), ("bytes", "4"), ("data", "05000000")]),
        .init(
            command: 11, from: .server, payload: longs(0x1000, 16),
            fields: [("address", hexadecimal(0x1000)), ("count", "16")]),
        .init(
            command: 12, from: .server, payload: longs(0x1000, 2) + [8, 9],
            fields: [("address", hexadecimal(0x1000)), ("count", "2"), ("data", "0809")]),
        .init(command: 13),
        .init(
            command: 15, payload: longs(2, 0x10) + words(0, 4) + longs(5, 0x14) + words(1, 4) + longs(6),
            fields: [
                ("writes", "2"), ("offset", "\(hexadecimal(0x10)),\(hexadecimal(0x14))"), ("region", "0,1"),
                ("value", "\(hexadecimal(5)),\(hexadecimal(6))"),
            ]),
        .init(
            command: 16, payload: words(16, 2 | 1 << 17, 2, 0),
            fields: [("feature", "2"), ("feature.flags.set", "1"), ("migration.state", "2")]),
        .init(
            command: 16, from: .server, isReply: true, payload: words(16, 1 | 1 << 16) + longs(1),
            fields: [("feature", "1"), ("feature.flags.get", "1"), ("migration.flags", hexadecimal(1))]),
        .init(
            command: 16, payload: words(40, 6 | 1 << 17) + longs(4096) + words(1, 0) + longs(0x1000, 0x2000),
            fields: [
                ("logging.page_size", "4096"), ("logging.ranges", "1"), ("logging.address", hexadecimal(0x1000)),
                ("logging.length", hexadecimal(0x2000)),
            ]),
        .init(
            command: 17, from: .server, isReply: true, payload: words(10, 2) + [1, 2],
            fields: [("argsz", "10"), ("migration.size", "2"), ("data", "0102")]),
        .init(command: 18, payload: words(10, 2) + [1, 2], fields: [("migration.size", "2"), ("data", "0102")]),
    ]
}

private func little(_ number: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
    (0..<number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
}

private func words(_ numbers: UInt32...) -> [UInt8] { numbers.flatMap(little) }

private func longs(_ numbers: UInt64...) -> [UInt8] { numbers.flatMap(little) }

/// As tshark writes a field of 64 bits.
private func hexadecimal(_ number: UInt64) -> String {
    let text = String(number, radix: 16)
    return "0x" + String(repeating: "0", count: 16 - text.count) + text
}
