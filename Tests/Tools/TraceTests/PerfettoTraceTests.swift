import JSON
import Tap
import Testing

@testable import Trace

/// The file that Perfetto reads keeps the rules of "Trace Event Format".
@Suite struct PerfettoTraceTests {
    private let names = RegisterNames(ofType: "virtio-gpu")

    private func event(_ kind: Event.Kind, at time: UInt64, _ change: (inout Event) -> Void = { _ in }) -> Event {
        var event = Event(kind)
        event.time = time
        change(&event)
        return event
    }

    /// The members of `traceEvents`, of a whole file.
    private func written(_ events: [Event]) throws -> [JSON] {
        var trace = PerfettoTrace(names, clock: 0)
        let text =
            PerfettoTrace.beginning("a \"device\"") + events.map { trace.lines($0) }.joined() + PerfettoTrace.end
        let json = try JSON(parsing: text)
        #expect(json["displayTimeUnit"] == "ns")
        return try #require(json["traceEvents"]?.array)
    }

    private var events: [Event] {
        var events = Event.Kind.allCases.enumerated().map { index, kind in
            event(kind, at: 5_000 + UInt64(index) * 1_000) { $0.name = "n\u{1b}\"" }
        }
        events.append(event(.request, at: 40_000) { ($0.value, $0.count) = (0x0104, 24) })
        events.append(event(.request, at: 41_000) { ($0.value, $0.count) = (0x0105, 24) })
        events.append(event(.completion, at: 45_000))
        events.append(event(.completion, at: 46_000))
        events.append(event(.completion, at: 47_000))
        events.append(event(.sent, at: 48_000) { $0.name = "renderer" })
        events.append(event(.received, at: 49_000) { $0.name = "renderer" })
        return events
    }

    @Test func everyEventHasWhatItsPhaseNeeds() throws {
        for entry in try written(events) {
            let phase = try #require(entry["ph"]?.string)
            #expect(["X", "i", "b", "e", "M"].contains(phase))
            #expect(entry["name"]?.string?.isEmpty == false)
            #expect(entry["pid"]?.int == 1 && entry["tid"]?.int != nil)
            if phase == "M" {
                #expect(["process_name", "thread_name"].contains(entry["name"]?.string))
                #expect(entry["args"]?["name"]?.string != nil)
                continue
            }
            #expect(try #require(entry["ts"]?.double) >= 0)
            #expect(entry["cat"]?.string != nil)
            switch phase {
            case "X": #expect(try #require(entry["dur"]?.double) >= 0)
            case "i": #expect(["g", "p", "t"].contains(entry["s"]?.string))
            default: #expect(entry["id"]?.string != nil)
            }
        }
    }

    /// The first request that was taken is the first that is given back.
    @Test func whatBeginsEndsOnce() throws {
        let entries = try written(events)
        var open: [String: Double] = [:]
        var spans: [String: Double] = [:]
        for entry in entries {
            guard let phase = entry["ph"]?.string, "be".contains(phase) else { continue }
            let key = "\(entry["cat"]?.string ?? "") \(entry["id"]?.string ?? "")"
            let time = try #require(entry["ts"]?.double)
            if phase == "b" {
                #expect(open.updateValue(time, forKey: key) == nil)
            } else {
                let begun = open.removeValue(forKey: key)
                spans[key] = time - (try #require(begun))
            }
        }
        #expect(spans["renderer renderer 0"] == 1)
        // The loop's own request came first, and its answer with it.
        #expect(spans["controlq controlq 1"] == 5)
        #expect(spans["controlq controlq 2"] == 5)
    }

    @Test func whatWasMissedIsMarkedAndAnswersNothing() throws {
        var trace = PerfettoTrace(names, clock: 0)
        var text = trace.lines(event(.request, at: 1_000))
        text += trace.missed(7, before: 3_000)
        for later in [event(.request, at: 3_000), event(.completion, at: 4_000), event(.completion, at: 5_000)] {
            text += trace.lines(later)
        }
        let json = try JSON(parsing: PerfettoTrace.beginning("") + text + PerfettoTrace.end)
        let entries = try #require(json["traceEvents"]?.array)
        #expect(entries.filter { $0["ph"] == "e" }.map { $0["id"] } == ["controlq 1"])
        #expect(entries.contains { $0["name"] == "7 events were missed" && $0["s"] == "g" && $0["ts"]?.double == 2 })
    }

    /// A lane is one thread, on which nothing else may overlap.
    @Test func accessesAreSpansOfTheirLane() throws {
        let accesses = (0..<10 as Range<UInt64>).map { number in
            event(.read, at: 1_000 + number * 500) { ($0.count, $0.latency, $0.offset) = (4, 250, number) }
        }
        let entries = try written(accesses).filter { $0["ph"] == "X" }
        #expect(entries.count == 10)
        #expect(Set(entries.map { $0["tid"]?.int }).count == 1)
        #expect(entries.map { $0["ts"]?.double } == (0..<10).map { Double($0) * 0.5 })
        #expect(entries.allSatisfy { $0["dur"]?.double == 0.25 })
        #expect(entries[3]["args"]?["offset"] == "0x3")
    }

    /// Whoever writes a recorder's memory can make any number of names.
    @Test func thereAreOnlySoManyLanes() throws {
        let many = (0..<200 as Range<UInt64>).map { number in event(.received, at: number) { $0.name = "\(number)" } }
        let entries = try written(many)
        #expect(entries.filter { $0["name"] == "thread_name" }.count == 65)
        #expect(entries.filter { $0["ph"] == "i" }.count == 200)
    }
}
