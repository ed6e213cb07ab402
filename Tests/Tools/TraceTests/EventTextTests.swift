import Device
import DeviceCatalog
import JSON
import Tap
import Testing

@testable import Trace

@Suite struct EventTextTests {
    private func text(_ type: String) throws -> EventText {
        let type = try #require(DeviceCatalog.types.first { $0.name == type })
        return EventText(RegisterNames(type.registers, ofType: type.name), clock: 3_600_000_000_000)
    }

    private func event(_ kind: Event.Kind, _ change: (inout Event) -> Void = { _ in }) -> Event {
        var event = Event(kind)
        event.time = 61_000_000_042
        change(&event)
        return event
    }

    /// The columns of a line.
    private func columns(_ event: Event, of type: String = "exerciser") throws -> [String] {
        try text(type).line(event).split(separator: "  ").map { $0.trimming(" ") }
    }

    @Test func anAccessHasItsRegistersName() throws {
        let read = event(.read) {
            ($0.offset, $0.count, $0.value, $0.way, $0.latency) = (4, 4, 0x5eed, .ring, 1234)
        }
        #expect(
            try columns(read) == ["01:01:01.000000042", "read", "bar0+0x4 scratch", "0x00005eed", "ring", "1.2 µs"])
        let other = event(.write) { ($0.region, $0.offset, $0.count, $0.way) = (0, 0x1000, 64, .message) }
        #expect(try columns(other) == ["01:01:01.000000042", "write", "bar0+0x1000", "64 bytes", "message"])
    }

    @Test(
        arguments: [
            ("bochs-display", 2, 0x502, "dispi.width"), ("bochs-display", 2, 0x408, "dacWriteIndex"),
            ("serial", 0, 5, "lineStatus"), ("virtio-rng", 4, 0x14, "deviceStatus"), ("virtio-gpu", 4, 0x1000, "isr"),
            ("virtio-gpu", 4, 0x1c, "queueEnable"), ("virtio-gpu", 4, 0x2000, "events_read"),
        ] as [(String, UInt8, UInt64, String)])
    func everyDeviceNamesItsRegisters(type: String, bar: UInt8, offset: UInt64, name: String) throws {
        let read = event(.read) { ($0.region, $0.offset, $0.count) = (bar, offset, 1) }
        #expect(try text(type).place(read) == "bar\(bar)+0x\(String(offset, radix: 16)) \(name)")
    }

    @Test func whatIsNoAccessSaysWhatItIs() throws {
        func rest(_ event: Event) throws -> [String] { Array(try columns(event).dropFirst()) }
        #expect(
            try rest(event(.memoryWrite) { ($0.offset, $0.count) = (0x1234, 512) })
                == ["dma-write", "0x000000001234", "512 bytes"])
        #expect(try rest(event(.message) { $0.offset = 3 }) == ["message", "vector 3"])
        #expect(try rest(event(.pin) { $0.value = 1 }) == ["pin", "asserted"])
        #expect(
            try rest(event(.doorbell) { ($0.offset, $0.count) = (0x80, 2) }) == ["doorbell", "bar0+0x80", "2 times"])
        #expect(try rest(event(.event) { $0.name = "line" }) == ["event", "line"])
        #expect(
            try rest(event(.monitor) { ($0.region, $0.offset, $0.value) = (1, 640, 480) })
                == ["monitor", "head 1", "640x480"])
        #expect(try rest(event(.reset)) == ["reset"])
    }

    @Test func asJSONItHasTheSame() throws {
        let read = event(.read) {
            ($0.number, $0.offset, $0.count, $0.value, $0.way, $0.latency) = (9, 8, 8, .max, .call, 77)
        }
        let json = try text("exerciser").json(read)
        #expect(json["number"] == 9)
        #expect(json["event"] == "read")
        #expect(json["region"] == "bar0")
        #expect(json["offset"] == "0x8")
        #expect(json["register"] == "wideScratch")
        #expect(json["value"] == "0xffffffffffffffff")
        #expect(json["count"] == 8)
        #expect(json["way"] == "call")
        #expect(json["nanoseconds"] == 77)
        #expect(json["time"]?.double == 3661.000000042)
    }

    // MARK: Summary

    @Test func aSummaryTellsWhatIsHotAndHowLongItTook() throws {
        let type = try #require(DeviceCatalog.types.first { $0.name == "exerciser" })
        var summary = EventSummary(RegisterNames(type.registers))
        for number in 0..<100 as Range<UInt64> {
            summary.add(
                event(.read) {
                    ($0.offset, $0.count) = (4, 4)
                    $0.time = number * 10_000_000
                    $0.latency = number < 98 ? 900 : 60_000
                })
        }
        summary.add(event(.write) { ($0.offset, $0.count, $0.latency) = (0x38, 4, 5) })
        summary.add(event(.memoryRead) { $0.count = 4000 })
        summary.miss(3)
        let paragraphs = summary.text()
        #expect(paragraphs[0][0] == "102 events in 61.0 s, and 3 that were missed")
        #expect(paragraphs[0].contains { $0.contains("read") && $0.contains("100 ") })
        let rows = paragraphs[1].dropFirst().map { $0.split(separator: "  ").map { $0.trimming(" ") } }
        #expect(rows[0] == ["read bar0+0x4 scratch", "100", "1.0 µs", "65.5 µs"])
        #expect(rows[1] == ["write bar0+0x38 command", "1", "8 ns", "8 ns"])
        #expect(paragraphs[2][1].hasPrefix("dma-read, up to 4096 bytes"))
    }

    @Test func nothingIsASummaryToo() {
        #expect(EventSummary(RegisterNames()).text() == [["0 events in 0.0 s"]])
    }

    @Test(
        arguments: [(0, "0 ns"), (999, "999 ns"), (1000, "1.0 µs"), (123_456, "123 µs"), (4_290_000_000, "4.2 s")]
            as [(UInt64, String)])
    func durationsHaveTheUnitThatSuits(nanoseconds: UInt64, text: String) {
        #expect(EventText.duration(nanoseconds) == text)
    }
}

extension Substring {
    fileprivate func trimming(_ character: Character) -> String {
        String(drop { $0 == character }.reversed().drop { $0 == character }.reversed())
    }
}
