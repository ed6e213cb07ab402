import Linux
import Testing

@testable import Tap

/// A recorder writes down what passes, and readers of its memory see it at their own pace.
@Suite struct EventRecorderTests {
    private let recorder: EventRecorder

    init() throws {
        recorder = try EventRecorder(capacity: 8)
    }

    private func reader(from start: EventReader.Start = .oldest) throws -> EventReader {
        try EventReader(recorder.file.descriptor.duplicate(), from: start)
    }

    private func write(_ value: UInt32, at offset: UInt64) {
        let bytes = [value]
        recorder.note(.write(region: 0, offset: offset, by: .message), bytes.span.bytes)
    }

    @Test func whatHasPassedIsReadInItsOrder() throws {
        let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
        recorder.note(.read(region: 7, offset: 4, by: .ring), bytes.span.bytes.extracting(first: 2))
        recorder.note(.doorbell(bar: 2, offset: 16, times: 3))
        recorder.note(.memoryWrite(address: 1 << 40), bytes.span.bytes)
        recorder.note(.message(vector: 5))
        recorder.note(.pin(isAsserted: true))
        recorder.note(.received("line"), bytes.span.bytes.extracting(first: 1))
        recorder.note(.event("line"))
        let events = try reader().read(upTo: 100)
        #expect(events.map(\.kind) == [.read, .doorbell, .memoryWrite, .message, .pin, .received, .event])
        #expect(events.map(\.number) == Array(0..<7))
        #expect(events.map(\.region) == [7, 2, 0, 0, 0, 0, 0])
        #expect(events.map(\.offset) == [4, 16, 1 << 40, 5, 0, 0, 0])
        #expect(events.map(\.count) == [2, 3, 9, 0, 0, 1, 0])
        #expect(events.map(\.value) == [0x0201, 0, 0x0807_0605_0403_0201, 0, 1, 1, 0])
        #expect(events.map(\.way) == [.ring, nil, nil, nil, nil, nil, nil])
        #expect(events.map(\.name) == ["", "", "", "", "", "line", "line"])
        #expect(events.map(\.time) == events.map(\.time).sorted())
    }

    @Test func everyKindComesThrough() throws {
        let recorder = try EventRecorder(capacity: 32)
        let passages: [Passage] = [
            .read(region: 0, offset: 0, by: .call), .write(region: 0, offset: 0, by: .ioregion),
            .doorbell(bar: 0, offset: 0, times: 1), .memoryRead(address: 1), .memoryWrite(address: 1),
            .memoryFault(address: 1), .message(vector: 0), .pin(isAsserted: false), .look(memory: "m", offset: 1),
            .reset, .running(true), .restored, .mapped(address: 4096, size: 8192), .unmapped(address: 4096, size: 8192),
            .unmappedAll, .quota(videoMemory: 1, frameRate: nil), .monitor(head: 1, width: 640, height: 480),
            .connected("a"), .disconnected("a"), .received("a"), .sent("a"), .event("a"), .clock, .random,
            .client(isConnected: true), .command(number: 2, descriptors: "memfd"), .request(queue: 3),
            .completion(queue: 3),
            .altered(rule: 3), .pending(vector: 3, true),
        ]
        for passage in passages { recorder.note(passage) }
        let events = try EventReader(recorder.file.descriptor, from: .oldest).read(upTo: 100)
        #expect(events.map(\.kind) == Event.Kind.allCases)
        #expect(events[12].offset == 4096)
        #expect(events[12].count == 8192)
        #expect((events[16].region, events[16].offset, events[16].value) == (1, 640, 480))
        #expect(events[24].value == 1)
        #expect((events[25].offset, events[25].name) == (2, "memfd"))
        #expect((events[26].offset, events[27].offset) == (3, 3))
    }

    private static let counts = [0, 1, 7, 8, 9, 16, 17, 23, 24, 25, 48, 71, 72, 73, 119, 120, 121, 4096]

    @Test(arguments: counts)
    func theFirstBytesOfWhatHasPassedAreKept(count: Int) throws {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 + 1) }
        recorder.note(.received("line"), bytes.span.bytes)
        let event = try #require(try reader().read(upTo: 1).first)
        #expect(event.bytes == Array(bytes.prefix(24)))
        #expect(event.count == UInt64(count))
    }

    /// Of a virtqueue's chain there are more, which is one event for whoever reads, wherever a batch ends.
    @Test(arguments: counts)
    func ofAChainMoreIsKept(count: Int) throws {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 + 1) }
        recorder.note(.request(queue: 1), bytes.span.bytes)
        write(7, at: 0)
        let reader = try reader()
        let chain = try #require(reader.read(upTo: 1).first)
        #expect(chain.kind == .request && chain.bytes == Array(bytes.prefix(120)))
        #expect(chain.count == UInt64(count))
        #expect(reader.read(upTo: 1).map(\.value) == [7])
        #expect(reader.missed == 0)
        // Whoever doesn't watch keeps the beginning alone.
        recorder.seesAll = false
        recorder.note(.request(queue: 1), bytes.span.bytes)
        #expect(reader.read(upTo: 9).map(\.bytes) == [Array(bytes.prefix(24))])
    }

    @Test func aChainThatWasNeverOverHasItsBytes() throws {
        let bytes = [UInt8](1...100)
        recorder.accessBegins(isRead: false)
        recorder.note(.request(queue: 0), bytes.span.bytes)
        write(1, at: 0)
        let events = try reader().readUnfinished()
        #expect(events.map(\.kind) == [.request, .write])
        #expect(events.first?.bytes == bytes)
    }

    /// What is left of a chain whose beginning was overwritten is no event, and none that was missed.
    @Test func theRestOfAChainIsNoEvent() throws {
        let reader = try reader()
        let bytes = [UInt8](1...100)
        recorder.note(.request(queue: 0), bytes.span.bytes)
        for number in 0..<6 as Range<UInt32> { write(number, at: 0) }
        #expect(reader.read(upTo: 100).map(\.value) == [0, 1, 2, 3, 4, 5])
        #expect(reader.missed == 1)
    }

    @Test func anAccessIsShownWithAllThatItHasLedToWhenItIsOver() throws {
        let reader = try reader()
        recorder.accessBegins(isRead: false)
        write(1, at: 0x38)
        recorder.note(.memoryWrite(address: 4096))
        #expect(reader.read(upTo: 100).isEmpty)
        recorder.accessEnds()
        let events = reader.read(upTo: 100)
        #expect(events.map(\.kind) == [.write, .memoryWrite])
        #expect(events[0].latency ?? 0 > 0)
        #expect(events[1].latency == nil)
        #expect(events[0].time <= events[1].time)
    }

    @Test func anAccessThatIsRefusedLeavesNothing() throws {
        recorder.accessBegins(isRead: false)
        recorder.accessEnds()
        write(1, at: 0)
        let events = try reader().read(upTo: 100)
        #expect(events.map(\.kind) == [.write])
        #expect(events[0].latency == nil)
    }

    @Test func whatADeviceWasAboutWhenItEndedIsFound() throws {
        write(1, at: 0)
        recorder.accessBegins(isRead: false)
        write(2, at: 4)
        recorder.note(.memoryRead(address: 8))
        let reader = try reader()
        #expect(reader.read(upTo: 100).map(\.value) == [1])
        let unfinished = reader.readUnfinished()
        #expect(unfinished.map(\.kind) == [.write, .memoryRead])
        #expect(unfinished.map(\.number) == [1, 2])
        #expect(unfinished[0].value == 2)
    }

    /// What nobody watches keeps no secrets but those in registers.
    @Test func withoutWatchersContentsArentKept() throws {
        let bytes: [UInt8] = [1, 2, 3, 4]
        let passages: [Passage] = [
            .received("line"), .sent("line"), .random, .memoryRead(address: 4096), .memoryWrite(address: 4096),
            .look(memory: "m", offset: 0), .completion(queue: 0), .request(queue: 0),
            .write(region: 0, offset: 0, by: .call),
        ]
        let recorder = try EventRecorder(capacity: 16)
        recorder.seesAll = false
        for passage in passages { recorder.note(passage, bytes.span.bytes) }
        let events = try EventReader(recorder.file.descriptor, from: .oldest).read(upTo: 100)
        #expect(events.map(\.value) == [0, 0, 0, 0, 0, 0, 0, 0x0403_0201, 0x0403_0201])
        #expect(events.map(\.count) == Array(repeating: 4, count: 9))
    }

    // MARK: Pace

    @Test func aReaderThatIsTooSlowIsToldWhatItHasMissed() throws {
        let reader = try reader()
        for number in 0..<20 as Range<UInt32> { write(number, at: 0) }
        #expect(reader.read(upTo: 100).map(\.value) == Array(12..<20))
        #expect(reader.missed == 12)
        write(20, at: 0)
        #expect(reader.read(upTo: 100).map(\.value) == [20])
        #expect(reader.missed == 12)
    }

    @Test func readersDontDisturbEachOther() throws {
        let (first, second) = (try reader(), try reader())
        write(1, at: 0)
        #expect(first.read(upTo: 100).count == 1)
        write(2, at: 0)
        #expect(first.read(upTo: 100).map(\.value) == [2])
        #expect(second.read(upTo: 1).map(\.value) == [1])
        #expect(second.read(upTo: 1).map(\.value) == [2])
    }

    @Test func aReaderBeginsWhereItWants() throws {
        write(1, at: 0)
        let next = try reader(from: .next)
        #expect(next.read(upTo: 100).isEmpty)
        #expect(try reader(from: .oldest).read(upTo: 100).count == 1)
        write(2, at: 0)
        #expect(next.read(upTo: 100).map(\.value) == [2])
    }

    @Test func aReaderBesideAWriterSeesNothingHalfWritten() throws {
        let reader = try EventReader(recorder.file, from: .oldest)
        nonisolated(unsafe) let recorder = recorder
        let thread = try Thread(name: "writer") {
            for number in 0..<100_000 as Range<UInt64> {
                let bytes = [number]
                recorder.note(.write(region: 0, offset: number, by: .ring), bytes.span.bytes)
            }
        }
        var (seen, last): (UInt64, UInt64?) = (0, nil)
        while seen + reader.missed < 100_000 {
            for event in reader.read(upTo: 64) {
                #expect(event.value == event.number && event.offset == event.number)
                #expect(last.map { $0 < event.number } ?? true)
                last = event.number
                seen += 1
            }
        }
        thread.join()
    }

    // MARK: Names

    @Test func moreNamesThanThereIsRoomForAreLeftOut() throws {
        let recorder = try EventRecorder(capacity: 256)
        for number in 0..<130 { recorder.note(.event("name \(number)")) }
        recorder.note(.event(String(repeating: "x", count: 100)))
        recorder.note(.event("name 3"))
        let names = try EventReader(recorder.file.descriptor, from: .oldest).read(upTo: 200).map(\.name)
        let kept = EventRing.maximumNames
        #expect(Array(names[..<kept]) == (0..<kept).map { "name \($0)" })
        #expect(names[kept...130].allSatisfy { $0 == "" })
        #expect(names[131] == "name 3")
    }

    @Test func aLongNameIsCutOff() throws {
        recorder.note(.event(String(repeating: "x", count: 100)))
        #expect(try reader().read(upTo: 1)[0].name == String(repeating: "x", count: 31))
    }

    // MARK: Hostile

    @Test(arguments: [0, 3, -8, 1 << 21])
    func aCapacityIsAPowerOfTwo(capacity: Int) {
        #expect(throws: Errno.invalidArgument) { try EventRecorder(capacity: capacity) }
    }

    @Test func watchersCanOnlyRead() throws {
        #expect(throws: Errno.self) { try Mapping(of: recorder.file.descriptor, size: 4096, access: [.read, .write]) }
        let byte: [UInt8] = [1]
        #expect(throws: Errno.self) { try recorder.file.descriptor.duplicate().writeAll(byte.span.bytes) }
    }

    @Test func aFileThatIsNoRecordersIsRefused() throws {
        let empty = try MemoryFile(name: "empty", size: 8192)
        #expect(throws: Errno.invalidArgument) { try EventReader(empty.descriptor, from: .oldest) }
        let pipe = try PipeEnds()
        #expect(throws: Errno.invalidArgument) { try EventReader(pipe.reader, from: .oldest) }
        for capacity in [0, 3, 1 << 21, UInt64.max] {
            let file = try MemoryFile(name: "lies", size: 8192)
            file.publish(EventRing.magic, at: EventRing.Place.magic)
            file.publish(capacity, at: EventRing.Place.capacity)
            #expect(throws: Errno.invalidArgument, "\(capacity)") { try EventReader(file.descriptor, from: .oldest) }
        }
        // One that is shorter than it says.
        let short = try MemoryFile(name: "short", size: 8192)
        short.publish(EventRing.magic, at: EventRing.Place.magic)
        short.publish(1024, at: EventRing.Place.capacity)
        #expect(throws: Errno.invalidArgument) { try EventReader(short.descriptor, from: .oldest) }
    }

    @Test func aWriterThatLiesIsReadWithoutHarm() throws {
        for written in [0, 1, 7, 1 << 40, UInt64.max - 1, UInt64.max] {
            var generator = SystemRandomNumberGenerator()
            let file = try MemoryFile(name: "lies", size: EventRing.size(capacity: 8))
            for place in stride(from: EventRing.Place.nameCount, to: file.size, by: 8) {
                file.publish(generator.next(), at: place)
            }
            for slot in 0..<8 as Range<UInt64> {
                file.publish(written &- slot, at: EventRing.Place.slots + Int(slot) * EventRing.slotSize)
            }
            file.publish(EventRing.magic, at: EventRing.Place.magic)
            file.publish(8, at: EventRing.Place.capacity)
            let reader = try EventReader(file.descriptor, from: .oldest)
            file.publish(written, at: EventRing.Place.written)
            var count = 0
            var before = UInt64.max
            while reader.position != before {
                before = reader.position
                count += reader.read(upTo: 100).count
            }
            #expect(count <= 8)
            #expect(reader.position == written)
            #expect(reader.readUnfinished().count <= 8)
            file.publish(0, at: EventRing.Place.written)
            #expect(reader.read(upTo: 100).isEmpty)
        }
    }
}
