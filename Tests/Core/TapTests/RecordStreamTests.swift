import Linux
import Testing

@testable import Tap

/// A recording's stream has all that passes, byte for byte, or says how much is missing.
@Suite struct RecordStreamTests {
    private let stream: RecordStream
    private let reader: RecordStreamReader

    init() throws {
        stream = try RecordStream(isLossless: false)
        reader = try Self.reader(of: stream)
    }

    private static func reader(of stream: RecordStream) throws -> RecordStreamReader {
        try RecordStreamReader(
            ring: stream.ring.file.descriptor.duplicate(), readerBell: stream.readerBell.event.descriptor.duplicate(),
            writerBell: stream.writerBell.event.descriptor.duplicate())
    }

    private func records() throws -> [Record] {
        var records: [Record] = []
        while let bytes = try reader.next() { records.append(try Record(decoding: bytes.span.bytes)) }
        return records
    }

    private func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 + $0 / 256) } }

    @Test func whatPassesIsThereWithAllItsBytes() throws {
        stream.note(.memoryRead(address: 0x1000), bytes(100).span.bytes)
        stream.note(.received("line"), bytes(3).span.bytes)
        stream.note(.pin(isAsserted: true))
        let records = try records()
        #expect(records.map(\.kind.event) == [.memoryRead, .received, .pin])
        #expect(records.map(\.number) == [0, 1, 2])
        #expect(records.map(\.bytes) == [bytes(100), bytes(3), []])
        #expect(records.map(\.name) == ["", "line", ""])
        #expect((records[0].offset, records[0].count, records[2].value) == (0x1000, 100, 1))
    }

    @Test func aLargePassageComesInParts() throws {
        let whole = bytes(200_000)
        stream.note(.memoryWrite(address: 1), whole.span.bytes)
        let records = try records()
        #expect(records.map(\.partOffset) == [0, 65_536, 131_072, 196_608])
        #expect(records.map(\.hasMoreParts) == [true, true, true, false])
        #expect(records.allSatisfy { $0.number == 0 && $0.count == 200_000 })
        #expect(records.flatMap(\.bytes) == whole)
    }

    @Test func aPartThatIsOfferedStaysWhatItIs() throws {
        var part = Record(.picture)
        (part.partOffset, part.hasMoreParts, part.bytes) = (65_536, true, bytes(100))
        #expect(stream.offer(part))
        #expect(try records() == [part])
    }

    @Test func anAccessIsShownWithAllThatItLedToAndItsTime() throws {
        stream.accessBegins(isRead: false)
        stream.note(.write(region: 0, offset: 8, by: .ring), bytes(4).span.bytes)
        stream.note(.message(vector: 2))
        #expect(try reader.next() == nil)
        stream.accessEnds()
        let records = try records()
        #expect(records.map(\.kind.event) == [.write, .message])
        #expect(records[0].latency ?? 0 > 0)
        #expect(records[0].time <= records[1].time)
    }

    @Test func whatAReadLeadsToStandsBehindItsBeginning() throws {
        stream.accessBegins(isRead: true)
        stream.note(.clock, bytes(8).span.bytes)
        stream.note(.pin(isAsserted: false))
        stream.note(.read(region: 1, offset: 0, by: .message), bytes(1).span.bytes)
        stream.accessEnds()
        stream.accessBegins(isRead: true)
        stream.note(.read(region: 1, offset: 0, by: .message), bytes(1).span.bytes)
        stream.accessEnds()
        let records = try records()
        #expect(records.map(\.kind) == [.begin, .init(.clock), .init(.pin), .init(.read), .init(.read)])
        #expect(records.map(\.number) == [0, 0, 1, 2, 3])
        #expect(records[0].time == records[3].time)
    }

    @Test func whatStandsBeforeAWriteIsNoPartOfARead() throws {
        stream.accessBegins(isRead: false)
        stream.note(.altered(rule: 1))
        stream.note(.write(region: 0, offset: 8, by: .message), bytes(4).span.bytes)
        stream.accessEnds()
        stream.accessBegins(isRead: false)
        stream.note(.altered(rule: 2))
        stream.accessEnds()
        let records = try records()
        #expect(records.map(\.kind.event) == [.altered, .write, .altered])
        #expect(records[1].latency ?? 0 > 0)
    }

    @Test func aReadThatIsRefusedWhenItIsLivedIsLost() throws {
        stream.accessBegins(isRead: true)
        stream.note(.altered(rule: 1))
        stream.accessEnds()
        stream.note(.reset)
        #expect(try records().map(\.kind) == [.begin, .init(.altered), .gap, .init(.reset)])
        #expect(stream.isStateDue)
    }

    @Test func theRingIsGoneRoundManyTimes() throws {
        for round in 0..<300 {
            let passage = bytes(40_000 + round)
            stream.note(.memoryRead(address: UInt64(round)), passage.span.bytes)
            let record = try #require(try records().first)
            #expect(record.offset == UInt64(round) && record.bytes == passage)
        }
    }

    @Test func withoutRoomPassagesAreLostAndCounted() throws {
        let passage = bytes(60_000)
        for number in 0..<100 { stream.note(.memoryRead(address: UInt64(number)), passage.span.bytes) }
        let kept = try records()
        #expect(kept.count < 100 && kept.count > 60)
        #expect(!stream.isStateDue)
        stream.note(.reset)
        let after = try records()
        #expect(after.map(\.kind) == [.gap, .init(.reset)])
        #expect(after[0].count == UInt64(100 - kept.count))
        #expect(after[1].number == 100)
        #expect(stream.isStateDue)
    }

    @Test func aLosslessStreamWaitsForItsReader() throws {
        let stream = try RecordStream(isLossless: true)
        let (ring, bells) = (stream.ring, [stream.readerBell.event, stream.writerBell.event])
        let thread = try Thread(name: "reader", stackSize: 1 << 20) {
            guard
                let reader = try? RecordStreamReader(
                    ring: ring.file.descriptor.duplicate(), readerBell: bells[0].descriptor.duplicate(),
                    writerBell: bells[1].descriptor.duplicate())
            else { return }
            var count = 0
            while count < 400, (try? reader.wait(within: .seconds(10))) == true {
                while (try? reader.next()) != nil, count < 400 { count += 1 }
            }
        }
        let passage = bytes(60_000)
        for _ in 0..<400 { stream.note(.random, passage.span.bytes) }
        thread.join()
        #expect(stream.next == 400)
        #expect(!stream.isStateDue)
    }

    @Test func aLosslessStreamGivesUpOnAReaderThatStandsStill() throws {
        let stream = try RecordStream(isLossless: true)
        let passage = bytes(65_000)
        let start = SystemClock.nanoseconds
        for _ in 0..<200 { stream.note(.random, passage.span.bytes) }
        // A second in all, and as much again for a slow machine.
        #expect(SystemClock.nanoseconds - start < 2 * RecordStream.patience)
    }

    @Test func aReaderThatBreaksTheRulesEndsTheStreamAndNoMore() throws {
        stream.ring.release(.head, 1 << 31)
        for _ in 0..<200 { stream.note(.random, bytes(60_000).span.bytes) }
        #expect(stream.isBroken)
    }

    @Test func aWriterThatBreaksTheRulesIsFoundOut() throws {
        stream.note(.reset)
        stream.ring.release(.tail, RecordStream.capacity + 1)
        #expect(throws: RecordError.self) { try reader.next() }
        stream.ring.release(.tail, 56)
        #expect(try reader.next() != nil)
        stream.ring.release(.tail, 56 + 10)
        #expect(throws: RecordError.self) { try reader.next() }
    }

    @Test func severalTapsSeeTheSame() throws {
        let recorder = try EventRecorder(capacity: 8)
        let joined = JoinedTaps([recorder, stream])
        joined.accessBegins(isRead: false)
        joined.note(.write(region: 0, offset: 1, by: .call), bytes(2).span.bytes)
        joined.accessEnds()
        #expect(try records().map(\.kind.event) == [.write])
        let events = try EventReader(recorder.file.descriptor, from: .oldest).read(upTo: 10)
        #expect(events.map(\.kind) == [.write])
        #expect(joined.seesAll)
    }
}
