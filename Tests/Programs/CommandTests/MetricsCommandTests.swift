import FakeGuest
import Foundation
import Lab
import Linux
import Programs
import Testing
import VFIOUserClient

/// `mediated metrics`
@Suite struct MetricsCommandTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// Has an exerciser used: accesses by message and by ring, an interrupt, and a fill of mapped memory.
    private func use(_ device: RunningDevice) throws -> Client {
        let client = try Client(path: device.socket)
        let memory = try MemoryFile(name: "guest", size: 8192)
        try client.map(address: 0x10_0000, size: 8192, file: memory.descriptor)
        try client.setBusMaster(true)
        try client.write(UInt64(0x10_0000), region: 0, offset: 0x28)
        try client.write(UInt32(4096), region: 0, offset: 0x30)
        // The command to fill, by the exerciser's data sheet.
        try client.write(UInt32(4), region: 0, offset: 0x38)
        for _ in 0..<200 { _ = try client.read(UInt32.self, region: 0, offset: 0) }
        return client
    }

    private func lines(_ text: String, _ name: String) -> [String] {
        text.split(separator: "\n").filter { $0.hasPrefix("mediated_vgpu_\(name)") }.map(String.init)
    }

    @Test func usedDevicesAreOnThePage() throws {
        let exerciser = try RunningDevice("exerciser", in: scratch)
        let display = try RunningDevice("bochs-display", in: scratch, socket: "display")
        let client = try use(exerciser)
        let outcome = try Command.run("metrics", exerciser.socket, display.socket)
        #expect(outcome.status == 0)
        #expect(outcome.errors.isEmpty)
        let page = outcome.output
        let labels = "vgpu=\"\(exerciser.socket)\",type=\"exerciser\""
        #expect(
            lines(page, "up{") == [exerciser, display].map { "mediated_vgpu_up{vgpu=\"\($0.socket)\"} 1" })
        #expect(page.contains("mediated_vgpu_accesses_total{\(labels),region=\"bar0\",kind=\"write\"} 3\n"))
        #expect(page.contains("mediated_vgpu_dma_bytes_total{\(labels),direction=\"write\",way=\"mapping\"} 4096\n"))
        #expect(page.contains("mediated_vgpu_dma_mapped_bytes{\(labels)} 8192\n"))
        #expect(page.contains("mediated_vgpu_client_connected{\(labels)} 1\n"))
        #expect(page.contains("mediated_vgpu_sessions_total{\(labels)} 1\n"))
        #expect(
            page.contains(
                "mediated_vgpu_video_memory_limit_bytes{vgpu=\"\(display.socket)\",type=\"bochs-display\"} 16777216\n"))
        // 203 accesses, one in 64 of which is timed.
        let timed = lines(page, "access_duration_seconds_count").first.flatMap { Int($0.split(separator: " ")[1]) }
        #expect(try (1...4).contains(#require(timed)))
        withExtendedLifetime(client) {}
    }

    @Test(.enabled(if: !Lab.value("PROMTOOL").isEmpty, "The lab has no promtool: run 'make lab'."))
    func prometheusAcceptsThePageWhateverProcessesSay() throws {
        let exerciser = try RunningDevice("exerciser", in: scratch)
        let display = try RunningDevice("bochs-display", in: scratch, socket: "dis\"p\\lay")
        let client = try use(exerciser)
        let name = #"one\u0000\n\"\\{}é\u001b"#
        let info = """
            {"version":1,"result":{"name":"\(name)","type":"\(name)","options":[],"process":1,"socket":"x",\
            "clientConnected":true,"uptimeSeconds":1}}\n
            """
        let statistics = """
            {"version":1,"result":{"reads":{"\(name)":5,"bar0":1e300},"frames":-1,"uptimeSeconds":1e308,\
            "errors":18446744073709551615,"latency":{"nanoseconds":18446744073709551615,"buckets":{"1":2,"01":1,"0":1}}}}\n
            """
        let odd = try Impostor(at: scratch.path("odd.control"), saying: info, statistics)
        let file = scratch.path("page.prom")
        let outcome = try Command.run(
            "metrics", exerciser.socket, display.socket, scratch.path("odd"), scratch.path("none"), "--output", file)
        odd.end()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let page = try String(contentsOfFile: file, encoding: .utf8)
        #expect(lines(page, "up{").map(\.last) == ["1", "1", "1", "0"])
        let (status, complaints) = try check(page)
        #expect(status == 0)
        #expect(complaints.isEmpty)
        #expect(try check("mediated_vgpu_up{vgpu=\"a\n").status != 0)
        withExtendedLifetime(client) {}
    }

    /// What promtool says of a page.
    private func check(_ page: String) throws -> (status: Int32, complaints: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Lab.value("PROMTOOL"))
        process.arguments = ["check", "metrics"]
        process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: scratch.write(page, to: "checked")))
        let complaints = Pipe()
        process.standardOutput = complaints
        process.standardError = complaints
        try process.run()
        let text = complaints.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }

    // MARK: Processes that don't answer

    @Test func whoDoesNotAnswerIsDownAndSaidSo() throws {
        let device = try RunningDevice("serial", in: scratch)
        let none = scratch.path("none")
        let silent = scratch.path("silent")
        // It accepts nobody; the kernel takes what is sent all the same.
        let listener = try UnixListener(path: silent + ".control")
        let outcome = try Command.run("metrics", silent, none, device.socket, "--timeout", "1")
        #expect(outcome.status == 0)
        #expect(
            lines(outcome.output, "up{")
                == zip([silent, none, device.socket], [0, 0, 1]).map { "mediated_vgpu_up{vgpu=\"\($0)\"} \($1)" })
        #expect(
            outcome.errors == """
                mediated: \(silent): The device process didn't answer within 1000 ms.
                mediated: \(none): There is no control socket at '\(none).control': no device process runs there.

                """)
        withExtendedLifetime(listener) {}
    }

    @Test func whenNobodyAnswersTheStatusTellsWhy() throws {
        let none = try Command.run("metrics", scratch.path("none"), scratch.path("another"))
        #expect(none.status == 66)
        #expect(none.errors.hasSuffix("\nmediated: No device process has answered.\n"))
        #expect(lines(none.output, "up{").count == 2)
        let impostor = try Impostor(at: scratch.path("socket.control"), saying: "HTTP/1.1 400 Bad Request\r\n")
        #expect(try Command.run("metrics", scratch.path("socket")).status == 76)
        impostor.end()
    }

    // MARK: Files and wrong words

    @Test func aFileTakesItsPlaceCompleteAndMayBeRead() throws {
        let device = try RunningDevice("serial", in: scratch)
        let file = try scratch.write("something else", to: "page.prom")
        let outcome = try Command.run("metrics", device.socket, "--output", file)
        #expect(outcome.status == 0)
        #expect(outcome.output.isEmpty)
        #expect(try String(contentsOfFile: file, encoding: .utf8).hasPrefix("# HELP mediated_vgpu_up "))
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: scratch.url.path).sorted() == [
                "page.prom", "socket", "socket.control",
            ])
    }

    @Test func aFileThatCannotBeWrittenIsSaidSo() throws {
        let device = try RunningDevice("serial", in: scratch)
        let missing = scratch.path("none/page.prom")
        let outcome = try Command.run("metrics", device.socket, "--output", missing)
        #expect(outcome.status == 73)
        #expect(outcome.errors == "mediated: Can't write the metrics to '\(missing)': its folder doesn't exist.\n")
        #expect(try Command.run("metrics", device.socket, "--output", "/dev/null").status == 73)
    }

    @Test(arguments: [
        ["metrics", "a", "a"], ["metrics", "a", "--timeout", "0"], ["metrics", "a", "--timeout", "x"],
        ["metrics", "a", "--output"], ["events", "a", "b"], ["top", "a", "a"],
        ["top", "a", "--interval", "0"], ["top", "a", "--interval", "nan"], ["top", "a", "--interval", "3601"],
    ])
    func aCommandLineThatIsNotUnderstoodIsAUsageError(arguments: [String]) throws {
        let outcome = try Command.run(arguments)
        #expect(outcome.status == 64)
        #expect(outcome.errors.hasPrefix("Error: "))
    }
}
