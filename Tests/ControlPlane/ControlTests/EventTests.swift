import JSON
import Linux
import Testing

@testable import Control

/// Waiting for events.
@Suite struct EventTests {
    private static let request = #"{"version":1,"request":"events"}"# + "\n"
    private static let info = #"{"version":1,"request":"info"}"# + "\n"

    private func number(_ reply: JSON) -> Int? { reply["result"]?["events"]?[0]?["number"]?.int }

    @Test func whatHasHappenedIsToldAtOnce() throws {
        try withDeviceProcess { process in
            process.happen()
            let client = try ControlClient(connectingTo: process.path)
            let events = try client.events(within: .seconds(10))
            #expect(events.events.map(\.message) == ["It happened."])
            #expect(events.events.map(\.kind) == ["client-connected"])
            #expect(events.last == 1 && events.lost == 0)
            let again = try client.events(within: .seconds(10))
            #expect(again == events)
            #expect(try client.events(after: 7, within: .seconds(10)) == ControlEvents(events: [], last: 1, lost: 0))
            #expect(try client.info().type == "test")
        }
    }

    @Test func anAnswerIsHeldBackUntilSomethingHappensAndOthersGoOn() throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            try peer.send(Self.request + Self.info)
            let other = try ControlClient(connectingTo: process.path)
            for _ in 0..<3 { #expect(try other.info().type == "test") }
            #expect(try !peer.socket.waitReadable(within: .zero))
            process.happen()
            let replies = try peer.lines(2)
            #expect(number(replies[0]) == 1)
            #expect(replies[1]["result"]?["type"] == "test", "the next request had to wait")
            try peer.send(#"{"version":1,"request":"events","after":1}"# + "\n")
            #expect(try other.info().type == "test")
            #expect(try !peer.socket.waitReadable(within: .zero))
            process.happen()
            #expect(try number(peer.lines(1)[0]) == 2)
        }
    }

    @Test func whoeverWaitsIsNotKeptBusy() throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            let start = ContinuousClock.now
            var last = 0
            for _ in 0..<4 {
                process.happen()
                last = try client.events(after: last, within: .seconds(10)).last
            }
            // The first are told at once.
            #expect(ContinuousClock.now - start >= ControlServer.eventPause * 3)
        }
    }

    @Test func whoeverWaitsIsToldAndTakesNobodysPlace() throws {
        try withDeviceProcess { process in
            let waiting = try (0..<ControlServer.connectionLimit).map { _ in try Peer(process, sending: Self.request) }
            let clients = try (0..<ControlServer.connectionLimit).map { _ in
                let client = try ControlClient(connectingTo: process.path)
                #expect(try client.info().type == "test")
                return client
            }
            process.happen()
            for peer in waiting { #expect(try number(peer.raw.lines(1)[0]) == 1) }
            for client in clients { #expect(try client.info().type == "test") }
        }
    }

    @Test func ofTooManyWhoWaitTheFirstIsDropped() throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            var waiting: [Peer] = []
            for _ in 0...ControlServer.connectionLimit {
                waiting.append(try Peer(process, sending: Self.request))
                // It has been read when the next answer is here.
                #expect(try client.info().type == "test")
            }
            #expect(try waiting[0].raw.receive() == nil)
            process.happen()
            for peer in waiting.dropFirst() { #expect(try number(peer.raw.lines(1)[0]) == 1) }
        }
    }

    @Test func whoeverDoesNotReadTakesNothingFromOthersAndIsToldOnceTheyDo() throws {
        try withDeviceProcess { process in
            let slow = try RawPeer(process.path)
            // The answers are more than a socket holds.
            try slow.send(String(repeating: Self.info, count: 1000) + Self.request)
            let client = try ControlClient(connectingTo: process.path)
            for number in 1...3 {
                process.happen()
                let events = try client.events(after: number - 1, within: .seconds(10))
                #expect(events.events.map(\.number) == [number] && events.lost == 0)
            }
            let answers = try slow.lines(1001)
            #expect(answers[999]["result"]?["type"] == "test")
            #expect(answers[1000]["result"]?["last"] == 3 && answers[1000]["result"]?["lost"] == 0)
        }
    }

    @Test func whoeverLeavesWhileWaitingLeavesNothing() throws {
        try withDeviceProcess { process in
            for _ in 0..<100 {
                let peer = try RawPeer(process.path)
                try peer.send(Self.request + Self.info)
            }
            let client = try ControlClient(connectingTo: process.path)
            #expect(try client.info().type == "test")
            process.happen()
            #expect(try client.events(within: .seconds(10)).last == 1)
        }
    }

    @Test func whoeverWaitsNoLongerNeedsANewConnection() throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            #expect(throws: ControlClientError.timedOut(after: .milliseconds(20))) {
                try client.events(within: .milliseconds(20))
            }
            #expect(throws: ControlClientError.closed) { try client.info() }
        }
    }

    /// A raw peer that can stand in an array.
    private final class Peer {
        let raw: RawPeer

        init(_ process: DeviceProcess, sending text: String) throws {
            raw = try RawPeer(process.path)
            try raw.send(text)
        }
    }
}
