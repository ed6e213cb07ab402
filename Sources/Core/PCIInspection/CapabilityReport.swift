import JSON

/// One capability of a function, with what is known of it.
package struct CapabilityReport {
    /// In configuration space.
    package let offset: Int
    let id: Int
    /// Of an extended capability; the others have none.
    let version: Int?
    package let name: String
    let summary: RegisterReport?
    let registers: [RegisterReport]
    /// What its maker alone understands, or the beginning of what nobody here does.
    let bytes: [UInt8]

    /// All that it has, the one in ``summary`` too.
    package var allRegisters: [RegisterReport] { (summary.map { [$0] } ?? []) + registers }

    package var lines: [String] {
        let place = version.map { "\(offset.hexadecimal(digits: 3)) v\($0)" } ?? offset.hexadecimal(digits: 2)
        return ["Capabilities: [\(place)] \(name)" + (summary.map { ": \($0.text)" } ?? "")]
            + registers.map { "\t\($0.line)" }
            + stride(from: 0, to: bytes.count, by: 16).map { start in
                "\tBytes: \(Array(bytes[start..<min(start + 16, bytes.count)]).hexadecimal(separator: " "))"
            }
    }

    var json: JSON {
        [
            "offset": JSON(offset), "id": JSON(id), "version": version.map { JSON($0) } ?? .null,
            "name": .string(name), "registers": .array(allRegisters.map(\.json)),
            "bytes": .string(bytes.hexadecimal()),
        ]
    }
}

/// Follows the two lists of capabilities as far as they make sense: each place once, so that no list is endless.
struct CapabilityWalk {
    private(set) var reports: [CapabilityReport] = []
    private(set) var problems: [String] = []
    private let space: ConfigurationBytes
    private let vendor: UInt16

    /// Of a capability that nobody here knows, so many bytes are shown at most.
    private static let unknownBytes = 32

    init(_ space: ConfigurationBytes, vendor: UInt16) {
        self.space = space
        self.vendor = vendor
    }

    /// An entry of a list.
    private struct Entry {
        let offset: Int
        let id: Int
        let version: Int?
        /// 0 at the list's end.
        let next: Int
    }

    /// The list that byte 0x34 begins. PCI Local Bus Specification 3.0, section 6.7.
    mutating func standard() {
        guard space.number(at: 0x06, as: UInt16.self) & 1 << 4 != 0 else { return }
        let entries = follow("capability", from: Int(space.number(at: 0x34, as: UInt8.self)), within: 0x40..<0x100) {
            space, offset in
            guard let value = space.load(at: offset, width: 2) else { return nil }
            return Entry(offset: offset, id: Int(value & 0xff), version: nil, next: Int(value >> 8))
        }
        report(entries, CapabilityLayout.standard, headerSize: 2, end: 0x100)
    }

    /// The list at byte 0x100, when the function has so many. PCI Express Base Specification 5.0, section 7.6.
    mutating func extended() {
        // An empty list is a capability with ID and version 0, or ones where nobody answers.
        guard let first = space.load(at: 0x100, width: 4), first != 0, first != UInt64(UInt32.max) else { return }
        let entries = follow("extended capability", from: 0x100, within: 0x100..<0x1000) { space, offset in
            guard let value = space.load(at: offset, width: 4) else { return nil }
            return Entry(
                offset: offset, id: Int(value & 0xffff), version: Int(value >> 16 & 0xf), next: Int(value >> 20))
        }
        report(entries, CapabilityLayout.extended, headerSize: 4, end: 0x1000)
    }

    private mutating func follow(
        _ kind: String, from start: Int, within area: Range<Int>, read: (ConfigurationBytes, Int) -> Entry?
    ) -> [Entry] {
        var entries: [Entry] = []
        var seen: Set<Int> = []
        // The two low bits of a pointer are reserved.
        var offset = start & ~0b11
        while offset != 0 {
            guard area.contains(offset), let entry = read(space, offset) else {
                problems.append("The \(kind) list goes to 0x\(offset.hexadecimal()), where none can be.")
                break
            }
            guard seen.insert(offset).inserted else {
                problems.append("The \(kind) list is a loop: it comes back to 0x\(offset.hexadecimal()).")
                break
            }
            entries.append(entry)
            offset = entry.next & ~0b11
        }
        return entries
    }

    private mutating func report(_ entries: [Entry], _ layouts: [CapabilityLayout], headerSize: Int, end: Int) {
        let starts = entries.map(\.offset)
        for entry in entries {
            let layout = layouts.first { $0.id == entry.id && ($0.vendor == nil || $0.vendor == vendor) }
            let registers = layout?.registers ?? []
            let summary = layout?.summary?.report(space, at: entry.offset, end: end)
            var bytes: [UInt8] = []
            if let contents = layout?.contents {
                bytes = space.slice(
                    from: entry.offset + contents.start,
                    to: min(end, entry.offset + contents.length(space, at: entry.offset)))
            } else if summary == nil, registers.isEmpty {
                let next = starts.filter { $0 > entry.offset }.min() ?? end
                let start = entry.offset + headerSize
                bytes = space.slice(from: start, to: min(next, start + Self.unknownBytes))
            }
            let digits = headerSize == 2 ? 2 : 4
            reports.append(
                CapabilityReport(
                    offset: entry.offset, id: entry.id, version: entry.version,
                    name: layout?.name ?? "Unknown capability [\(entry.id.hexadecimal(digits: digits))]",
                    summary: summary,
                    registers: registers.compactMap { $0.report(space, at: entry.offset, end: end) }, bytes: bytes))
        }
    }
}

extension CapabilityLayout.Contents {
    /// The length of the capability at `offset`, in bytes.
    fileprivate func length(_ space: ConfigurationBytes, at offset: Int) -> Int {
        Int((space.load(at: offset + lengthAt, width: lengthWidth) ?? 0) >> lengthShift)
    }
}
