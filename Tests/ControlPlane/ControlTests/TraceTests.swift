import Control
import JSON
import Linux
import Tap
import Testing

/// Whoever has the control socket can watch what passes the device's doors.
@Suite struct TraceTests {
    /// All events up to the loop's own, which says that the process has looked at its control socket.
    private func awaitEvent(_ name: String, in events: EventReader) -> [Event] {
        var seen: [Event] = []
        let end = Deadline(after: .seconds(10))
        while !seen.contains(where: { $0.name == name }), !end.hasPassed { seen += events.read(upTo: 100) }
        return seen
    }

    @Test func aWatcherSeesWhatPasses() throws {
        try withDeviceProcess { process in
            let watcher = try ControlClient(connectingTo: process.path)
            let traced = try watcher.trace()
            #expect(traced.type == "test")
            #expect(traced.mapped.isEmpty)
            process.happen()
            #expect(awaitEvent("happening", in: traced.events).contains { $0.kind == .event })
        }
    }

    @Test func severalWatchEachAtItsOwnPace() throws {
        try withDeviceProcess { process in
            let watchers = try (0..<3).map { _ in try ControlClient(connectingTo: process.path) }
            let traced = try watchers.map { try $0.trace().events }
            process.happen()
            for events in traced { #expect(!awaitEvent("happening", in: events).isEmpty) }
        }
    }

    @Test func oneThatLeavesTakesNothingFromTheOthers() throws {
        try withDeviceProcess { process in
            let stays = try ControlClient(connectingTo: process.path)
            let events = try stays.trace().events
            do {
                let leaves = try ControlClient(connectingTo: process.path)
                _ = try leaves.trace()
            }
            // An answer says that the process has seen the other one leave.
            _ = try ControlClient(connectingTo: process.path).info()
            process.happen()
            #expect(!awaitEvent("happening", in: events).isEmpty)
        }
    }

    /// Whoever was sent away would take that for the end of the device.
    @Test func aWatcherTooManyIsRefusedAndTheOthersStay() throws {
        try withDeviceProcess { process in
            let watchers = try (0..<ControlServer.connectionLimit).map { _ in
                try ControlClient(connectingTo: process.path)
            }
            let traced = try watchers.map { try $0.trace().events }
            let refusal = #expect(throws: ControlClientError.self) {
                try ControlClient(connectingTo: process.path).trace()
            }
            #expect(refusal?.description.contains("8 others watch the device already") == true)
            // Those that ask, and those that wait for events, take no watcher's place.
            let others = try (0..<2 * ControlServer.connectionLimit).map { _ in
                try ControlClient(connectingTo: process.path)
            }
            for other in others { _ = try? other.info() }
            process.happen()
            for events in traced { #expect(!awaitEvent("happening", in: events).isEmpty) }
            // It may watch again that watches already.
            _ = try watchers[0].trace()
        }
    }

    @Test func aProcessWithoutAFlightRecorderSaysSo() throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            #expect(throws: ControlClientError.self) { try client.recorder() }
            // Also while somebody watches.
            _ = try client.trace()
            #expect(throws: ControlClientError.self) { try ControlClient(connectingTo: process.path).recorder() }
        }
    }

    @Test func withTheLastWatcherTheRecorderGoes() throws {
        try withDeviceProcess { process in
            do {
                let watcher = try ControlClient(connectingTo: process.path)
                let events = try watcher.trace().events
                process.happen()
                _ = awaitEvent("happening", in: events)
            }
            // Another one counts from 0. Each connection has the process look at those that have left.
            let end = Deadline(after: .seconds(10))
            var position: UInt64 = .max
            while position > 1, !end.hasPassed {
                position = try ControlClient(connectingTo: process.path).trace().events.position
            }
            #expect(position <= 1)
        }
    }

    @Test func whoWatchesLearnsOfTheEnd() throws {
        let silent = try PipeEnds()
        try withDeviceProcess { process in
            let watcher = try ControlClient(connectingTo: process.path)
            _ = try watcher.trace()
            #expect(try watcher.wait(for: silent.reader, within: .zero) == (false, false))
            process.end()
            #expect(try watcher.wait(for: silent.reader, within: .seconds(10)) == (true, false))
        }
    }
}
