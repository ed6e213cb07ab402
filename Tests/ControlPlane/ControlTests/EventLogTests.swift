import Testing

@testable import Control

/// What is kept and what is written down, by a clock of the test's own.
@Suite final class EventLogTests {
    private var lines: [String] = []
    private var time: UInt64 = 5_000_000_000
    private lazy var log = EventLog(clock: { [unowned self] in time }, write: { [unowned self] in lines.append($0) })

    private func append(_ kind: ControlEvent.Kind, times: Int) {
        for number in 1...times { log.append(kind, "message \(number)") }
    }

    @Test func eventsAreCountedFromOne() {
        #expect(log.newer(than: 0) == nil)
        log.append(.started, "a")
        log.append(.clientConnected, "b")
        let all = log.newer(than: 0)
        #expect(all?.events.map(\.number) == [1, 2])
        #expect(all?.events.map(\.kind) == ["started", "client-connected"])
        #expect(all?.events.map(\.message) == ["a", "b"])
        #expect(all?.events.allSatisfy { $0.time > 1_700_000_000 } == true)
        #expect(all?.last == 2)
        #expect(all?.lost == 0)
        #expect(log.newer(than: 1)?.events.map(\.number) == [2])
        #expect(log.newer(than: 2) == nil)
        #expect(lines == ["a", "b"])
    }

    @Test func theLastOnesAreKeptAndTheLostOnesCounted() {
        append(.clientConnected, times: 300)
        let all = log.newer(than: 0)
        #expect(all?.events.map(\.number) == Array(45...300))
        #expect(all?.lost == 44)
        #expect(log.newer(than: 40)?.lost == 4)
        #expect(log.newer(than: 44)?.lost == 0)
        #expect(log.newer(than: 299)?.events.count == 1)
    }

    @Test func aNumberOfAnEarlierProcessIsAnsweredWithTheLastOne() {
        append(.clientLeft, times: 2)
        #expect(log.newer(than: 3) == ControlEvents(events: [], last: 2, lost: 0))
        #expect(log.newer(than: .max) == ControlEvents(events: [], last: 2, lost: 0))
    }

    @Test func linesHaveALimitAndWhatIsLeftOutIsSaid() {
        append(.clientLeft, times: 50)
        #expect(lines == (1...20).map { "message \($0)" })
        time += 999_999_999
        append(.clientLeft, times: 1)
        #expect(lines.count == 20)
        time += 1
        append(.clientLeft, times: 2)
        #expect(lines.suffix(2) == ["31 lines left out (client-left).", "message 1"])
        // Whoever was quiet for long has the whole allowance again, and not more.
        time += 3_600_000_000_000
        lines = []
        append(.clientLeft, times: 50)
        #expect(lines.count == 21)
        #expect(log.newer(than: 0)?.events.count == 103, "a client's own events are all there")
    }

    @Test(arguments: [ControlEvent.Kind.clientDenied, .clientRefused])
    func whatStrangersCauseIsKeptNoFasterThanItIsWritten(kind: ControlEvent.Kind) {
        var told = 0
        log.onEvent = { told += 1 }
        append(kind, times: 500)
        log.append(.clientLeft, "left")
        #expect(told == 21)
        #expect(lines.last == "left")
        let all = log.newer(than: 0)
        #expect(all?.events.map(\.number) == Array(1...20) + [501])
        #expect(all?.last == 501)
        #expect(all?.lost == 480)
        log.onEvent = {}
    }

    @Test func aLongMessageIsCut() throws {
        log.append(.clientLeft, String(repeating: "ä", count: 1000))
        let message = try #require(log.newer(than: 0)?.events.first?.message)
        #expect(message == String(repeating: "ä", count: 256))
    }
}
