import Device
import Tap
import Testing

@testable import Trace

@Suite struct EventFilterTests {
    private let names = RegisterNames([
        RegisterName(name: "scratch", bar: 0, offset: 4, width: 4, isReadable: true, isWritable: true),
        RegisterName(name: "cause", bar: 0, offset: 8, width: 4, isReadable: true, isWritable: false),
        RegisterName(name: "raise", bar: 0, offset: 8, width: 4, isReadable: false, isWritable: true),
    ])

    private func access(
        _ kind: Event.Kind, _ region: UInt8, _ offset: UInt64, _ value: UInt64 = 0, _ way: Way = .message
    ) -> Event {
        var event = Event(kind)
        (event.region, event.offset, event.value, event.way, event.count) = (region, offset, value, way, 4)
        return event
    }

    private var events: [Event] {
        var line = Event(.received)
        line.name = "line"
        var dma = Event(.memoryRead)
        dma.offset = 0x1000
        return [
            access(.read, 0, 4), access(.write, 0, 5, 7), access(.read, 0, 8, 1, .ring), access(.write, 0, 8, 2),
            access(.read, 7, 2), access(.doorbell, 2, 4), line, dma, Event(.reset),
        ]
    }

    @Test(
        arguments: [
            ("", [0, 1, 2, 3, 4, 5, 6, 7, 8]), ("   ", [0, 1, 2, 3, 4, 5, 6, 7, 8]), ("read", [0, 2, 4]),
            ("read|write", [0, 1, 2, 3, 4]), ("read bar=0", [0, 2]), ("bar=0", [0, 1, 2, 3]), ("bar=config", [4]),
            ("bar=2", [5]), ("offset=4", [0, 5]), ("offset=0x4..0x5", [0, 1, 5]), ("offset=4096", [7]),
            ("register=scratch", [0, 1]), ("register=cause", [2]), ("register=raise", [3]),
            ("register=Vendor_ID", []), ("register=Device_ID", [4]), ("value=7", [1]), ("write value=1..2", [3]),
            ("way=ring", [2]), ("name=line", [6]),
            ("dma-read|reset", [7, 8]), ("read write", []),
        ] as [(String, [Int])])
    func allTermsMustHold(text: String, found: [Int]) throws {
        let filter = try EventFilter(text)
        #expect(events.indices.filter { filter.matches(events[$0], names) } == found)
    }

    @Test(
        arguments: [
            ("queue=0", [0, 1]), ("queue=1", [2]), ("request", [0, 2]), ("command=RESOURCE_FLUSH", [0]),
            ("command=OK_NODATA", [1]), ("command=0xbeef", [2]), ("command=DMA_MAP", [3]), ("command", [3]),
        ] as [(String, [Int])])
    func messagesAreFoundByQueueAndCommand(text: String, found: [Int]) throws {
        let names = RegisterNames(ofType: "virtio-gpu")
        func chain(_ kind: Event.Kind, _ queue: UInt64, _ number: UInt64) -> Event {
            var event = Event(kind)
            (event.offset, event.value, event.count) = (queue, number, 24)
            return event
        }
        let events = [
            chain(.request, 0, 0x104), chain(.completion, 0, 0x1100), chain(.request, 1, 0xbeef), chain(.command, 2, 0),
        ]
        let filter = try EventFilter(text)
        #expect(events.indices.filter { filter.matches(events[$0], names) } == found)
    }

    @Test(
        arguments: [
            ("reads", 0, "'reads' is no kind of event. The kinds are read, write, doorbell, dma-read"),
            ("read|wrote", 5, "'wrote' is no kind"), ("read  bra=1", 6, "'bra' is nothing to filter by; it can be bar"),
            ("bar=6", 4, "'6' is no BAR; it can be 0 to 5, rom or config."), ("bar=", 4, "'' is no BAR"),
            ("write offset=0x", 13, "'0x' is no number"), ("offset=2..1", 7, "ends before it begins"),
            ("offset=1..z", 10, "'z' is no number"), ("offset=..2", 7, "'' is no number"),
            ("value=99999999999999999999", 6, "is no number"), ("way=mail", 4, "the ways are call, message"),
            ("=1", 0, "'' is nothing to filter by"), ("queue=x", 6, "'x' is no number"),
            ("read command=FLUSH", 13, "'FLUSH' is no command. The commands are VERSION, DMA_MAP"),
            (
                "read queue=0", 5,
                "'queue=0' never fits read; what can stand there is bar, offset, register, value, way."
            ),
            ("bar=0 message", 0, "'bar=0' never fits message; what can stand there is vector."),
            ("read|dma-read bar=0 address=1", 20, "'address=1' never fits read;"),
            ("queue=0 vector=1", 8, "never fits request, completion; what can stand there is value, queue, command."),
            ("reset value=1", 6, "'value=1' never fits reset; no other term does."),
            ("command=", 8, "'' is no command"), ("command=0x", 8, "'0x' is no command"),
        ])
    func aWrongTermIsAnsweredWithItsPlaceAndWhatCanStandThere(text: String, position: Int, words: String) {
        let problem = #expect(throws: EventFilter.Problem.self) { try EventFilter(text) }
        #expect(problem?.position == position)
        #expect(problem?.description.contains(words) == true, "\(problem?.description ?? "")")
    }

    // MARK: Names

    @Test func aPartOfARegisterHasItsName() {
        #expect(names[access(.read, 0, 7)] == "scratch")
        #expect(names[access(.read, 0, 3)] == nil)
        #expect(names[access(.read, 0, 12)] == nil)
        #expect(names[access(.read, 1, 4)] == nil)
        #expect(names[access(.read, 0, .max)] == nil)
    }

    @Test func configurationSpaceHasPCIsNames() {
        #expect(names[access(.read, 7, 0)] == "Vendor ID")
        #expect(names[access(.write, 7, 4)] == "Command")
        #expect(names[access(.write, 7, 0x18)] == "Base Address 2")
        #expect(names[access(.read, 7, 0x40)] == nil)
    }
}
