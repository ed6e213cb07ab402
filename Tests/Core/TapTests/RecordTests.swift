import Testing

@testable import Tap

/// A record goes into a ring and into a file byte for byte, and whoever reads it takes it for hostile.
@Suite struct RecordTests {
    private var whole: Record {
        var record = Record(Record.Kind(.read))
        (record.way, record.region, record.number, record.time) = (.ring, 3, 1 << 40, 1 << 60)
        (record.offset, record.count, record.value) = (0x10, 5, 0x0102)
        (record.latency, record.name) = (1234, "sérial")
        (record.partOffset, record.hasMoreParts) = (65_536, true)
        record.bytes = [2, 1, 0, 0, 9]
        return record
    }

    @Test func aRecordIsTheSameBehindTheCoding() throws {
        let bytes = whole.encoded()
        #expect(bytes.count == 56 + 7 + 5)
        #expect(try Record.length(ofFirstIn: bytes.span.bytes) == bytes.count)
        #expect(try Record(decoding: bytes.span.bytes) == whole)
        let plain = Record(.end)
        #expect(try Record(decoding: plain.encoded().span.bytes) == plain)
    }

    @Test func theNumbersStandWhereTheTableSays() {
        let bytes = whole.encoded()
        #expect(bytes[0..<8] == [68, 0, 0, 0, 1, 3, 3, 7])
        #expect(bytes[8..<16] == [0, 0, 0, 0, 0, 1, 0, 0])
        #expect(bytes[52..<56] == [0, 0, 1, 0x80])
    }

    @Test func ofALongNameWholeCharactersAreKept() throws {
        var record = Record(.wire)
        record.name = "a" + String(repeating: "é", count: 200)
        let name = try Record(decoding: record.encoded().span.bytes).name
        #expect(name == "a" + String(repeating: "é", count: 127))
    }

    @Test func anUnknownKindIsReadAndHasNoEvent() throws {
        var record = Record(Record.Kind(rawValue: 0xfe))
        record.bytes = [1]
        let read = try Record(decoding: record.encoded().span.bytes)
        #expect(read == record)
        #expect(read.event == nil)
        #expect(Record(Record.Kind(.clock)).event?.kind == .clock)
    }

    @Test(arguments: [0, 55, 57, 60, 0xffff_ffff] as [UInt32]) func aWrongLengthIsRefused(_ length: UInt32) {
        var bytes = Record(.end).encoded()
        for index in 0..<4 { bytes[index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
        #expect(throws: RecordError.self) { try Record(decoding: bytes.span.bytes) }
    }

    @Test func aNameBehindTheEndAndBytesThatAreNoTextAreRefused() {
        var bytes = whole.encoded()
        bytes[7] = 200
        #expect(throws: RecordError.self) { try Record(decoding: bytes.span.bytes) }
        bytes = whole.encoded()
        bytes[57] = 0xff
        #expect(throws: RecordError.self) { try Record(decoding: bytes.span.bytes) }
        for count in 0..<56 {
            #expect(throws: RecordError.self) { try Record(decoding: bytes.span.bytes.extracting(first: count)) }
        }
    }

    @Test func moreBytesThanAPartHasAreRefused() {
        var record = Record(.state)
        record.bytes = [UInt8](repeating: 1, count: 70_000)
        var bytes = record.encoded()
        #expect(bytes.count == 56 + 65_536)
        bytes += [1]
        bytes[0] += 1
        #expect(throws: RecordError.self) { try Record(decoding: bytes.span.bytes) }
    }
}
