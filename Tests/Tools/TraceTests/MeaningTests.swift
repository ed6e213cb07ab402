import Device
import DeviceCatalog
import JSON
import Tap
import Testing

@testable import Trace

/// What the bits of registers, and the fields of messages, say.
@Suite struct MeaningTests {
    private func text(_ type: String, configuration: [UInt8] = []) throws -> EventText {
        let type = try #require(DeviceCatalog.types.first { $0.name == type })
        return EventText(
            RegisterNames(type.registers, configuration: configuration, ofType: type.name), clock: 0)
    }

    private func access(_ region: UInt8, _ offset: UInt64, _ count: UInt64, _ value: UInt64) -> Event {
        var event = Event(.write)
        (event.region, event.offset, event.count, event.value) = (region, offset, count, value)
        return event
    }

    private func chain(_ kind: Event.Kind, queue: UInt64, _ bytes: [UInt8]) throws -> Event {
        let recorder = try EventRecorder(capacity: 8)
        recorder.note(
            kind == .request ? .request(queue: Int(queue)) : .completion(queue: Int(queue)), bytes.span.bytes)
        return try #require(EventReader(recorder.file.descriptor, from: .oldest).read(upTo: 1).first)
    }

    private func wire(_ words: UInt32...) -> [UInt8] {
        words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }

    // MARK: Registers

    @Test(
        arguments: [
            ("serial", 0, 3, 1, 0x83, "[bits=8 stop=1 DLAB]"), ("serial", 0, 2, 1, 0xc1, "[trigger=14 enable]"),
            ("bochs-display", 2, 0x508, 2, 0x41, "[enabled linear-framebuffer]"),
            ("virtio-gpu", 4, 0x14, 1, 0x0f, "[ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK]"),
            ("virtio-gpu", 4, 0x2004, 4, 1, "[DISPLAY]"), ("exerciser", 0, 0x38, 4, 3, "[command=copy]"),
            ("exerciser", 0, 0x38, 4, 9, "[command=reserved(9)]"), ("exerciser", 7, 4, 2, 6, "[Mem BusMaster]"),
            ("exerciser", 7, 4, 2, 0, "[]"),
        ] as [(String, UInt8, UInt64, UInt64, UInt64, String)])
    func bitsHaveTheirNames(
        type: String, bar: UInt8, offset: UInt64, count: UInt64, value: UInt64, meaning: String
    ) throws {
        let pieces = try text(type).pieces(access(bar, offset, count, value))
        let words = try #require(pieces.last?.text)
        #expect(
            Set(words.split(separator: " ").map { $0.filter { $0 != "[" && $0 != "]" } })
                == Set(meaning.split(separator: " ").map { $0.filter { $0 != "[" && $0 != "]" } }))
        #expect(words.hasPrefix("[") && words.hasSuffix("]"))
    }

    /// One access may reach several registers, or a part of one.
    @Test func anAccessShowsWhatItReachesOfEachRegister() throws {
        let both = try text("exerciser").line(access(7, 4, 4, 0x0010_0006))
        #expect(both.contains("0x00100006  ") && both.hasSuffix("  [Mem BusMaster] Status=0x0010 [Cap DEVSEL=fast]"))
        // The upper byte of the command register.
        let part = try text("exerciser").line(access(7, 5, 1, 0x04))
        #expect(part.contains("config+0x5 Command") && part.hasSuffix("[DisINTx]"))
    }

    /// An MSI-X capability at 0x40 that is alone.
    private static let configuration: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 256)
        (bytes[6], bytes[0x34]) = (0x10, 0x40)
        (bytes[0x40], bytes[0x42]) = (0x11, 3)
        return bytes
    }()

    @Test func capabilitiesHaveNamesWhereTheyAre() throws {
        let text = try text("exerciser", configuration: Self.configuration)
        let control = text.line(access(7, 0x42, 2, 0xc003))
        #expect(control.contains("config+0x42 MSI-X Control"))
        #expect(control.hasSuffix("[Enable Count=4 Masked]"))
        #expect(text.line(access(7, 0x40, 1, 0x11)).contains("MSI-X ID"))
        #expect(try !self.text("exerciser").line(access(7, 0x42, 2, 0xc003)).contains("MSI-X"))
    }

    @Test func fieldsAreInTheJSON() throws {
        let json = try text("exerciser").json(access(7, 4, 4, 0x0010_0006))
        #expect(json["fields"]?["BusMaster"] == true)
        #expect(json["fields"]?["I/O"] == false)
        #expect(json["fields"]?["Status.Cap"] == true)
        #expect(json["fields"]?["Status.DEVSEL"] == "fast")
    }

    // MARK: Virtqueues

    @Test func aRequestIsNamedWithItsFields() throws {
        let flush = try chain(.request, queue: 0, wire(0x0104, 1, 12, 0, 0, 0, 8, 16, 640, 480, 2, 0))
        let line = try text("virtio-gpu").line(flush)
        #expect(line.contains("request       controlq RESOURCE_FLUSH"))
        #expect(line.hasSuffix("fence_id=12 resource_id=2 r=640x480+8+16"))
        let json = try text("virtio-gpu").json(flush)
        #expect(json["command"] == "RESOURCE_FLUSH")
        #expect(json["queue"] == "controlq")
        #expect(json["fields"]?["resource_id"] == 2)
        #expect(json["fields"]?["r"] == [8, 16, 640, 480])
    }

    @Test func fieldsThatAreCutOffAreLeftOut() throws {
        let line = try text("virtio-gpu").line(chain(.request, queue: 0, wire(0x0104, 0, 0, 0, 7, 0)))
        #expect(line.contains("RESOURCE_FLUSH") && line.hasSuffix("ctx_id=7"))
        #expect(try text("virtio-gpu").line(chain(.request, queue: 0, [1, 2])).contains("controlq  "))
    }

    @Test func cursorAndAnswersAreNamedToo() throws {
        let move = try chain(.request, queue: 1, wire(0x0301, 0, 0, 0, 0, 0, 1, UInt32(bitPattern: -5), 7, 0))
        #expect(try text("virtio-gpu").line(move).contains("cursorq MOVE_CURSOR"))
        #expect(try text("virtio-gpu").line(move).hasSuffix("scanout_id=1 x=-5 y=7"))
        let answer = try chain(.completion, queue: 0, wire(0x1203, 0, 0, 0, 0, 0))
        #expect(try text("virtio-gpu").line(answer).contains("completion    controlq ERR_INVALID_RESOURCE_ID"))
        let unknown = try chain(.request, queue: 9, wire(0xbeef, 0, 0, 0, 0, 0))
        #expect(try text("virtio-gpu").line(unknown).contains("queue 9 0xbeef"))
        #expect(try text("virtio-rng").line(unknown).contains("queue 9  "))
    }

    /// What a guest calls its context goes out as it is: whoever prints it escapes it.
    @Test func aContextHasItsName() throws {
        let name = Array("glmark2".utf8) + [UInt8](repeating: 0, count: 57)
        let create = try chain(.request, queue: 0, wire(0x0200, 0, 0, 0, 3, 0, 7, 0) + name)
        #expect(try text("virtio-gpu").line(create).hasSuffix("ctx_id=3 debug_name=glmark2"))
    }

    // MARK: Messages

    @Test func aClientsMessageIsNamedWithItsFields() throws {
        let recorder = try EventRecorder(capacity: 8)
        let payload = wire(32, 3, 0, 0, 0x10_0000, 0, 0x1000, 0)
        recorder.note(.command(number: 2, descriptors: "memfd"), payload.span.bytes)
        let event = try #require(EventReader(recorder.file.descriptor, from: .oldest).read(upTo: 1).first)
        let line = try text("serial").line(event)
        #expect(line.contains("DMA_MAP") && line.contains("32 bytes, with memfd"))
        #expect(line.hasSuffix("address=0x100000 size=0x1000 offset=0x0 flags=0x3"))
    }
}
