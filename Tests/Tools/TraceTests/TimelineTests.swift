import Tap
import Testing

@testable import Trace

@Suite struct TimelineTests {
    private let names = RegisterNames(ofType: "virtio-gpu")

    private func event(_ kind: Event.Kind, at time: UInt64, _ change: (inout Event) -> Void = { _ in }) -> Event {
        var event = Event(kind)
        event.time = time
        change(&event)
        return event
    }

    private func timeline(_ events: [Event]) -> Timeline {
        var timeline = Timeline(names)
        for event in events { timeline.add(event) }
        timeline.finish()
        return timeline
    }

    private func lane(_ name: String, _ timeline: Timeline) throws -> Timeline.Lane {
        try #require(timeline.lanes.first { $0.key.name == name }?.value)
    }

    @Test func everythingCountsHoweverLongItTakes() throws {
        // From a microsecond to an hour apart.
        for step in [1, 1_000, 1_000_000, 3_600_000_000_000] as [UInt64] {
            let timeline = timeline((0..<5000).map { event(.message, at: 77 + $0 * step) })
            let interrupts = try lane("interrupts", timeline)
            #expect(interrupts.count == 5000)
            #expect(interrupts.amounts.reduce(0, +) == 5000)
            #expect(timeline.duration == 4999 * step)
            #expect(timeline.stretch * UInt64(Timeline.stretches) > timeline.duration)
        }
    }

    @Test func whatIsUnderWayIsCountedOnce() throws {
        let timeline = timeline([
            event(.request, at: 0), event(.request, at: 10_000), event(.completion, at: 30_000),
            event(.completion, at: 50_000), event(.completion, at: 60_000), event(.request, at: 90_000),
            event(.message, at: 100_000),
        ])
        let queue = try lane("controlq", timeline)
        #expect(queue.isBusy && queue.count == 3)
        #expect(queue.amounts.reduce(0, +) == 60_000)
    }

    @Test func whatWasMissedEndsWhatIsUnderWay() throws {
        var timeline = Timeline(names)
        for event in [event(.request, at: 0), event(.message, at: 10_000)] { timeline.add(event) }
        timeline.miss(1234)
        // Its own answer was missed.
        for event in [event(.message, at: 50_000), event(.completion, at: 60_000)] { timeline.add(event) }
        timeline.finish()
        #expect(try lane("controlq", timeline).amounts.reduce(0, +) == 10_000)
        #expect(timeline.svg("device", clock: 0).contains("1\u{2009}234 events were missed"))
    }

    @Test func timesThatGoBackOrAreAbsurdDoNoHarm() throws {
        let timeline = timeline([
            event(.read, at: .max) { $0.latency = .max }, event(.request, at: 0), event(.read, at: 5),
            event(.completion, at: .max), event(.read, at: .max),
        ])
        #expect(timeline.svg("device", clock: .max).hasSuffix("</svg>\n"))
        let late = self.timeline([event(.request, at: 0), event(.completion, at: .max), event(.read, at: .max)])
        #expect(try lane("controlq", late).amounts.reduce(0, +) == .max)
        #expect(late.svg("device", clock: 0).contains("busy 100 %"))
    }

    @Test func thePictureHasALaneForEachAndNothingOfTheGuests() {
        let text = timeline([
            event(.read, at: 0) { $0.latency = 900 }, event(.memoryWrite, at: 5_000), event(.request, at: 6_000),
            event(.received, at: 7_000) { $0.name = "<script>\u{1b}&" },
        ]).svg("virtio-gpu <&>", clock: 0)
        for name in ["bar0 reads", "DMA writes", "controlq", "virtio-gpu &lt;&amp;&gt;", "&lt;script&gt;\\u{1b}&amp;"] {
            #expect(text.contains(name), "\(name)")
        }
        #expect(!text.contains("<script") && !text.contains("\u{1b}"))
        #expect(text.split(separator: "\n").filter { $0.hasPrefix("<path") }.count == 4)
    }

    @Test func nothingIsAPictureToo() {
        #expect(timeline([]).svg("device", clock: 0).contains("<title>device</title>"))
    }
}
