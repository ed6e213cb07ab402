import Linux
import Synchronization
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

    @Test func whatTheRecordingItselfLeadsToIsNotRecorded() throws {
        stream.note(.event(RecordStream.ownEvent))
        stream.note(.event("another"))
        let records = try records()
        #expect(records.map(\.name) == ["another"] && records.map(\.number) == [0])
    }

    @Test func aGapCountsPassagesAlone() throws {
        let passage = bytes(60_000)
        // Each with a beginning that would be lost, too.
        for number in 0..<100 as Range<UInt64> {
            stream.accessBegins(isRead: true)
            stream.note(.memoryRead(address: number), passage.span.bytes)
            stream.note(.read(region: 0, offset: number, by: .message), bytes(4).span.bytes)
            stream.accessEnds()
        }
        // Of the stream's own kinds, and refused.
        #expect(!stream.offer(Record(.state)))
        let kept = try records().filter { $0.kind.event != nil }
        stream.note(.reset)
        let after = try records()
        #expect(after.map(\.kind) == [.gap, .init(.reset)])
        #expect(UInt64(kept.count) + after[0].count == 200 && after[1].number == 200)
    }

    @Test func whatIsClosedTakesNoMorePassages() throws {
        stream.note(.reset)
        #expect(stream.close() == 1)
        stream.note(.reset)
        #expect(stream.offer(Record(.end)))
        #expect(try records().map(\.kind) == [.init(.reset), .end])
    }

    @Test func aLosslessStreamWaitsForItsReader() throws {
        let stream = try RecordStream(isLossless: true)
        let (ring, bells) = (stream.ring, [stream.readerBell.event, stream.writerBell.event])
        let taken = Mutex(0)
        let thread = try Thread(name: "reader", stackSize: 1 << 20) {
            guard
                let reader = try? RecordStreamReader(
                    ring: ring.file.descriptor.duplicate(), readerBell: bells[0].descriptor.duplicate(),
                    writerBell: bells[1].descriptor.duplicate())
            else { return }
            var count = 0
            while count < 400, (try? reader.wait(within: .seconds(10))) == true {
                while let bytes = try? reader.next(), count < 400 {
                    guard (try? Record(decoding: bytes.span.bytes).number) == UInt64(count) else { return }
                    count += 1
                }
                taken.withLock { [count] in $0 = count }
            }
        }
        // A reader on a slow machine has a hundred times as long.
        stream.clock = { SystemClock.nanoseconds / 100 }
        let passage = bytes(60_000)
        for _ in 0..<400 { stream.note(.random, passage.span.bytes) }
        stream.flush()
        thread.join()
        #expect(taken.withLock { $0 } == 400)
        #expect(stream.next == 400)
        #expect(!stream.isStateDue)
    }

    /// A stream whose time passes only while it waits, and so long each time; somebody may take something out meanwhile.
    private func slow(
        _ stream: RecordStream, by pause: UInt64, _ meanwhile: @escaping () -> Void = {}
    ) -> () -> UInt64 {
        var now: UInt64 = 1_000_000_000_000
        stream.clock = { now }
        stream.sleep = { limit in
            now += min(pause, UInt64(limit / .nanoseconds(1)))
            meanwhile()
        }
        return { now - 1_000_000_000_000 }
    }

    @Test func aLosslessStreamGivesUpOnAReaderThatStandsStill() throws {
        let stream = try RecordStream(isLossless: true)
        let reader = try Self.reader(of: stream)
        let waited = slow(stream, by: .max)
        let passage = bytes(65_000)
        for _ in 0..<80 { stream.note(.random, passage.span.bytes) }
        #expect(waited() == WaitBudget.mostOfAccess)
        // Each time there is room again it has hope again, but not for ever.
        for _ in 0..<12 {
            while try reader.next() != nil {}
            for _ in 0..<80 { stream.note(.random, passage.span.bytes) }
        }
        #expect(waited() == WaitBudget.mostInStretch)
    }

    /// Who takes a little each time holds nobody for longer than who takes nothing.
    @Test func anAccessWaitsNoLongerThanItMayHoweverManyPartsItHas() throws {
        let stream = try RecordStream(isLossless: true)
        let reader = try Self.reader(of: stream)
        var taken = 0
        let waited = slow(stream, by: 90_000_000) { if (try? reader.next()) != nil { taken += 1 } }
        let (passage, part, whole) = (bytes(60_000), bytes(1 << 16), bytes(1 << 20))
        for _ in 0..<3 {
            while try reader.next() != nil {}
            for _ in 0..<60 { stream.note(.random, passage.span.bytes) }
            let before = waited()
            stream.accessBegins(isRead: false)
            stream.note(.write(region: 0, offset: 0, by: .message), whole.span.bytes)
            for _ in 0..<10 { stream.note(.memoryRead(address: 0), part.span.bytes) }
            stream.accessEnds()
            #expect(waited() - before == WaitBudget.mostOfAccess)
        }
        #expect(taken > 3)
    }

    @Test func whatWasWaitedComesBackWithTimeAlone() {
        var budget = WaitBudget()
        let start: UInt64 = 1 << 40
        var now = start
        for _ in 0..<10 {
            budget.accessBegins()
            #expect(budget.left(at: now) == WaitBudget.mostOfAccess)
            now += WaitBudget.mostOfAccess
            budget.spend(WaitBudget.mostOfAccess, at: now)
            #expect(budget.left(at: now) == 0)
        }
        budget.accessBegins()
        #expect(budget.left(at: now) == 0)
        #expect(budget.left(at: start + WaitBudget.stretch) == 0)
        #expect(budget.left(at: now + WaitBudget.stretch + 500_000_000) == WaitBudget.mostOfAccess)
    }

    /// Wherever it is found out.
    @Test func aReaderThatBreaksTheRulesEndsWhatIsOffered() throws {
        while stream.offer(Record(.state)) {}
        var calls = 0
        stream.onAttention = { calls += 1 }
        stream.ring.release(.head, 1 << 31)
        #expect(!stream.offer(Record(.state)))
        #expect(stream.isBroken && calls == 1 && stream.takesOffers)
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
