import Control
import Foundation
import JSON
import Linux
import Mediation
import Supervision
import Synchronization
import Testing

/// Device processes that a guest has taken over.
@Suite struct HostileTests {
    private func event(_ number: Int, _ kind: String, time: Double = 1, _ message: String) -> JSON {
        ["number": JSON(number), "time": .number(time), "kind": .string(kind), "message": .string(message)]
    }

    /// What is in the journal of the device process's own: all but the adoption.
    private func told(_ bench: Bench, of id: InstanceID) async throws -> [JournalEntry] {
        try await bench.manager.journal(instance: id).entries.filter { $0.kind != "adopted" }
    }

    @Test func eventsWithoutEndFillNoJournal() async throws {
        let bench = try Bench()
        let events = (1...EventLog.capacity).map { number in
            event(number, number.isMultiple(of: 2) ? "modified" : "client-denied", time: 1e308, "Event \(number).")
        }
        let count = Mutex(0)
        let impostor = try Impostor(in: bench) { request in
            guard request == "events" else { return nil }
            let last = count.withLock { count in
                count += 1
                return count
            }
            return ["events": .array(events), "last": JSON(last), "lost": 0]
        }
        try await bench.manager.begin()
        _ = await bench.store.entry("modified", of: impostor.instance.id)
        // It goes on and on; and everything else goes on as well.
        let other = try await bench.started("serial")
        _ = try await bench.manager.stop(other.id)
        let entries = try await told(bench, of: impostor.instance.id)
        // As much as at once, and one a second after that, each perhaps with one that says what was left out.
        let seconds = Int(SystemClock.secondsSinceEpoch - (entries.first?.time ?? 0)) + 1
        #expect(entries.count <= 20 + 2 * seconds, "\(entries.count)")
        #expect(entries.allSatisfy { $0.time <= SystemClock.secondsSinceEpoch })
    }

    @Test func anEventIsCutToSizeAndSpeaksForNobodyElse() async throws {
        let bench = try Bench()
        let events = [
            event(1, "denied", "As a manager."), event(2, "stopped", "As a manager."), event(3, "Not a kind", "x"),
            event(4, String(repeating: "x", count: 33), "x"), event(5, "", "x"),
            event(6, "of-a-later-version", String(repeating: "long ", count: 10_000)), event(7, "modified", "Last."),
        ]
        let impostor = try Impostor(in: bench) { request in
            request == "events" ? ["events": .array(events), "last": 7, "lost": 0] : nil
        }
        try await bench.manager.begin()
        _ = await bench.store.entry("modified", of: impostor.instance.id)
        let entries = try await told(bench, of: impostor.instance.id)
        #expect(entries.map(\.kind) == ["of-a-later-version", "modified"])
        #expect(entries.map(\.message.utf8.count) == [1024, 5])
    }

    @Test func anAnswerOfMoreValuesThanEventsHaveIsNotRead() async throws {
        let answer: JSON = [
            "version": 1,
            "result": ["events": [], "last": 1, "lost": 0, "more": .array(Array(repeating: 1, count: 100_000))],
        ]
        let error = #expect(throws: ControlClientError.self) {
            try EventConnection.events(in: Array(answer.text.utf8))
        }
        #expect(error?.description.contains("too many values") == true)
    }

    /// Whoever compared such a text by canonical equivalence would be busy for a quarter of an hour.
    @Test func aTextThatIsHardToCompareHoldsNobodyUp() async throws {
        let bench = try Bench()
        let kind = "c" + String(repeating: "\u{301}\u{323}", count: 200_000)
        let events = [event(1, kind, "x")]
        let impostor = try Impostor(in: bench) { request in
            switch request {
            case "events": ["events": .array(events), "last": 1, "lost": 0]
            default: ["format": .string(kind), "width": 1, "height": 1, "stride": 4, "palette": []]
            }
        }
        try await bench.manager.begin()
        await expectError(.failed, "combining characters") {
            _ = try await bench.manager.ask(impostor.instance.id) { try $0.screenshot().width }
        }
        let other = try await bench.started("serial")
        #expect(other.state == .running)
        #expect(try await told(bench, of: impostor.instance.id).isEmpty)
    }

    @Test func aLogKeepsItsLastLinesWhenItGrowsTooLong() async throws {
        let bench = try Bench()
        try await bench.manager.begin()
        let instance = try await bench.started("serial")
        _ = try await bench.manager.stop(instance.id)
        let path = bench.directories.log(of: instance.id)
        let line = String(repeating: "x", count: 999) + "\n"
        try (String(repeating: line, count: 5000) + "The last one.\n").write(
            toFile: path, atomically: false, encoding: .utf8)
        _ = try await bench.manager.start(instance.id)
        let (lines, end) = try await bench.manager.log(of: instance.id, lines: 1000)
        let size = try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
        #expect((100_000..<300_000).contains(size))
        #expect(lines.contains("The last one.") && lines.contains { $0.contains("Serving") })
        #expect(lines.allSatisfy { $0 == line.dropLast() || !$0.hasPrefix("x") })
        #expect(end == size)
        #expect(try await bench.manager.log(of: instance.id, lines: 1000, after: end).lines.isEmpty)
        // It was longer once.
        #expect(try await bench.manager.log(of: instance.id, lines: 1000, after: 5_000_000).lines == lines)
    }

    @Test func whatWasSavedInPartIsRemovedAtTheBeginning() async throws {
        let bench = try Bench()
        let folder = "\(bench.root)/state/vgpu"
        for name in ["a.state", "a.state.17.new"] {
            try #require(FileManager.default.createFile(atPath: "\(folder)/\(name)", contents: Data([1])))
        }
        try await bench.manager.begin()
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.state"])
    }
}
