import Testing
import VTest

/// Sentences that programs are the reason of.
@Suite struct ReportLogTests {
    @Test func aProgramFillsNoLog() {
        var now: UInt64 = 0
        var lines: [String] = []
        let log = ReportLog(clock: { now }) { lines.append($0) }
        for number in 0..<1000 { log.write("\(number)") }
        #expect(lines.count == ReportLog.lineLimit + 1)
        #expect(lines.last?.hasSuffix("is left out.") == true)
        now += 1_000_000_000
        log.write("later")
        #expect(lines.last == "later")
        for _ in 0..<10_000 {
            now += 1_000_000_000
            for _ in 0..<10 { log.write("again") }
        }
        #expect(lines.count == ReportLog.mostLines)
        #expect(lines.last == "What else there is to be told is left out.")
    }
}
