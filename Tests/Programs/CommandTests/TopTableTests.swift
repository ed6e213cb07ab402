import Control
import Glibc
import JSON
import Metrics
import Testing

@testable import mediated

/// What `mediated top` shows, from what was observed.
@Suite struct TopTableTests {
    private func answer(
        _ statistics: JSON, name: String? = nil, process: Int32 = 7, hasClient: Bool = true, start: Int = 100,
        ticks: Int = 0, pages: Int = 256
    ) throws -> Observation.Answer {
        Observation.Answer(
            info: ControlInfo(
                name: name, type: "test", options: [], process: process, socket: "/run/a", clientConnected: hasClient,
                uptimeSeconds: 1),
            statistics: VGPUStatistics(statistics),
            usage: ProcessUsage(stat: stat(start, ticks, pages), ticksPerSecond: 100, pageSize: 4096))
    }

    private func stat(_ start: Int, _ ticks: Int, _ pages: Int) -> String {
        "7 (a) b) S 1 7 7 0 -1 4194304 9 0 0 0 \(ticks) 0 0 0 20 0 2 0 \(start) 999 \(pages) 0\n"
    }

    private func row(_ results: Result<Observation.Answer, ControlClientError>...) -> TopRow {
        var vgpu = ObservedVGPU(.socket("/run/a"))
        // Half a second between two looks.
        for (index, result) in results.enumerated() {
            vgpu.add(
                Observation(
                    .socket("/run/a"), time: UInt64(index) * 500_000_000, result.mapError(Observation.Failure.process)))
        }
        return TopRow(vgpu)
    }

    private static let first: JSON = [
        "reads": ["bar0": 100], "writes": ["bar0": 50], "ringReadsAndWrites": ["bar0": 10], "frames": 5,
        "interruptsByKind": ["msix": 3], "mappedDMABytesRead": 0, "mappedDMABytesWritten": 1000,
        "messageDMABytesRead": 0, "messageDMABytesWritten": 0, "videoMemoryUsed": JSON(1 << 20),
    ]
    private static let second: JSON = [
        "reads": ["bar0": 150, "rom": 1], "writes": ["bar0": 50], "ringReadsAndWrites": ["bar0": 30], "frames": 35,
        "interruptsByKind": ["msix": 3, "msi": 1], "mappedDMABytesRead": 500_000, "mappedDMABytesWritten": 1000,
        "messageDMABytesRead": 250_000, "messageDMABytesWritten": 0, "videoMemoryUsed": JSON(2 << 20),
    ]

    // MARK: Rows

    @Test func ratesAreWhatWasDoneBetweenTwoLooks() throws {
        var row = row(
            .success(try answer(Self.first, name: "one", ticks: 10)),
            .success(try answer(Self.second, name: "one", ticks: 35)))
        row.processor?.round()
        #expect(
            row
                == TopRow(
                    vgpu: "one", type: "test", state: .used, accesses: 102, ringAccesses: 40, dma: 1_500_000,
                    interrupts: 2, frames: 60, videoMemory: 2 << 20, processor: 50, resident: 1 << 20))
    }

    @Test func accessesFromADomainAreAccesses() throws {
        let row = row(.success(try answer(["accesses": 10])), .success(try answer(["accesses": 60])))
        #expect(row.accesses == 100)
    }

    @Test func theFirstLookTellsNoRates() throws {
        #expect(
            row(.success(try answer(Self.first, hasClient: false)))
                == TopRow(vgpu: "/run/a", type: "test", state: .free, videoMemory: 1 << 20, resident: 1 << 20))
        #expect(row() == TopRow(vgpu: "/run/a", state: .new))
    }

    @Test func anotherProcessHasOtherCounters() throws {
        let before = try answer(Self.first)
        for now in [try answer(Self.second, process: 8), try answer(Self.second, start: 101)] {
            let row = row(.success(before), .success(now))
            #expect(row.accesses == nil)
            #expect(row.processor == nil)
            #expect(row.videoMemory == 2 << 20)
        }
    }

    @Test func countersThatShrinkOrAreMissingTellNothing() throws {
        let row = row(.success(try answer(Self.second)), .success(try answer(["frames": 1, "reads": ["bar0": 1000]])))
        #expect(row.frames == nil)
        #expect(row.accesses == nil)
        #expect(row.dma == nil)
        #expect(row.processor == 0)
    }

    @Test(
        arguments: [
            (.closed, .gone), (.cannotConnect(path: "", .noSuchFileOrDirectory), .gone),
            (.cannotConnect(path: "", .connectionRefused), .gone), (.timedOut(after: .milliseconds(1)), .hangs),
            (.cannotConnect(path: "", .resourceTemporarilyUnavailable), .hangs),
            (.cannotConnect(path: "", .permissionDenied), .denied), (.malformedReply(""), .fails),
            (.connection(.ioError), .fails), (.refused(ControlError(.failed, "")), .fails),
        ] as [(ControlClientError, TopRow.State)])
    func aProcessThatDoesNotAnswerKeepsItsNameAndType(error: ControlClientError, state: TopRow.State) throws {
        let answer = try answer(Self.first, name: "one")
        #expect(row(.success(answer), .failure(error)) == TopRow(vgpu: "one", type: "test", state: state))
        #expect(row(.success(answer), .failure(error), .failure(error)).type == "test")
        #expect(row(.failure(error)) == TopRow(vgpu: "/run/a", state: state))
    }

    @Test func aProcessThatIsBackAndTheSameHasRatesOfTheWholeTime() throws {
        let row = row(
            .success(try answer(Self.first)), .failure(.timedOut(after: .milliseconds(1))),
            .success(try answer(Self.second)))
        #expect(row.frames == 30)
    }

    // MARK: Lines

    private let rows = [
        TopRow(vgpu: "b", type: "test", state: .free, frames: 1, processor: 3),
        TopRow(vgpu: "a", state: .gone),
        TopRow(
            vgpu: "c", type: "other", state: .used, accesses: 12_345, ringAccesses: 0.25, dma: 1_500_000, frames: 60,
            videoMemory: 16 << 20, processor: 1.26, resident: 5 << 20),
    ]

    @Test func aTableHasTitlesAndALineForEachVGPU() {
        #expect(
            TopTable(rows: rows).lines() == [
                "VGPU  TYPE   STATE  ACCESS/s  RING/s  DMA MB/s  IRQ/s  FRAME/s  VRAM  CPU %  RSS",
                "a     -      gone          -       -         -      -        -     -      -    -",
                "b     test   free          -       -         -      -        1     -      3    -",
                "c     other  used        12k     0.3       1.5      -       60   16M    1.3   5M",
            ])
    }

    @Test func numbersAreSortedDownwardsAndWordsUpwards() {
        func names(by column: TopColumn) -> String {
            TopTable(rows: rows, order: column).lines().dropFirst().map { String($0.prefix(1)) }.joined()
        }
        #expect(names(by: .vgpu) == "abc")
        #expect(names(by: .type) == "acb")
        #expect(names(by: .state) == "bac")
        #expect(names(by: .frames) == "cba")
        #expect(names(by: .processor) == "bca")
        // Those that are equal stay as they were named.
        #expect(names(by: .interrupts) == "bac")
        #expect(Set(TopColumn.allCases.map(\.key)).count == TopColumn.allCases.count)
        #expect(!TopColumn.allCases.contains { $0.key == "q" })
    }

    @Test func aLongPathGivesWayAndThenTheRightEdge() {
        let path = "/run/mediated/a/very/long/way/to/the/socket/vgpu0.sock"
        let table = TopTable(rows: [TopRow(vgpu: path, type: "test", state: .gone)])
        #expect(table.lines()[1].hasPrefix(path))
        #expect(table.lines(width: 100).map(\.count) == [100, 100])
        #expect(table.lines(width: 100)[1].contains("t/vgpu0.sock  test  gone "))
        #expect(table.lines(width: 31)[1] == "…u0.sock  test  gone          -")
        #expect(table.lines(width: 0) == ["", ""])
    }

    @Test func whatAProcessCallsItselfCanNotControlTheTerminal() {
        let row = TopRow(vgpu: "a\u{1B}[2J\nb", type: "\u{9B}x\u{202E}", state: .free)
        let lines = TopTable(rows: [row]).lines()
        #expect(lines[1].hasPrefix("a\\u{1b}[2J\\u{a}b  \\u{9b}x\\u{202e}  free"))
    }

    @Test func aPageFillsTheTerminalAndNoMore() {
        let page = TopTable(rows: rows).page(interval: 0.5, columns: 70, lines: 8)
        #expect(page.count == 8)
        #expect(page[0] == "mediated top: 3 vGPUs, every 0.5 s, by VGPU")
        #expect(page[1].hasPrefix("VGPU"))
        #expect(page[5...6] == ["", ""])
        #expect(page[7].hasPrefix("q quit; sort by: n VGPU, t TYPE"))
        #expect(page.allSatisfy { $0.count <= 70 })
        let low = TopTable(rows: rows).page(interval: 2, columns: 200, lines: 5)
        #expect(low.count == 5)
        #expect(low[2].hasPrefix("a "))
        #expect(low[3] == "… and 2 more")
        for lines in 0..<20 { #expect(TopTable(rows: rows).page(interval: 2, columns: 3, lines: lines).count == lines) }
    }

    @Test(
        arguments: [
            (0, "0"), (0.04, "0"), (0.25, "0.3"), (9.94, "9.9"), (9.96, "10"), (10.4, "10"), (999, "999"),
            (999.6, "1k"),
            (1500, "1.5k"), (12_345, "12k"), (999_600, "1M"), (3e18, "3E"), (1e22, "huge"), (.infinity, "huge"),
            (.nan, "huge"), (-1, "huge"),
        ] as [(Double, String)])
    func numbersAreShort(number: Double, text: String) {
        #expect(ShortNumber(number, .count).description == text)
    }

    @Test func bytesHavePowersOf1024() {
        #expect(ShortNumber(1536, .bytes).description == "1.5K")
        #expect(ShortNumber(Double(256 << 20), .bytes).description == "256M")
        #expect(ShortNumber(Double(UInt64.max), .bytes).description == "16E")
    }

    // MARK: Keys and processes

    @Test func onlyPlainKeysCount() {
        func keys(_ text: String) -> String { String(decoding: TopScreen.plainKeys(Array(text.utf8)), as: UTF8.self) }
        #expect(keys("cq") == "cq")
        // Arrows, a function key, Alt-f, Home as an application key.
        #expect(keys("a\u{1B}[Ab\u{1B}[1;5Dc\u{1B}[15~d\u{1B}fe\u{1B}OHf") == "abcdef")
        #expect(keys("\u{1B}") == "")
        #expect(keys("\u{1B}[") == "")
        #expect(keys("\u{1B}[1") == "")
        #expect(keys("") == "")
    }

    @Test(arguments: ["", "7", "7 (a", "7 (a) S", "7 (a) S " + String(repeating: "x ", count: 40)])
    func aFileThatIsNoProcessesTellsNothing(text: String) {
        #expect(ProcessUsage(stat: text, ticksPerSecond: 100, pageSize: 4096) == nil)
    }

    @Test func aProcessIsFoundInProc() throws {
        let usage = try #require(ProcessUsage(of: getpid()))
        #expect(usage.residentBytes > 1 << 20)
        #expect(usage.start > 0)
        #expect(ProcessUsage(of: -1) == nil)
    }
}
