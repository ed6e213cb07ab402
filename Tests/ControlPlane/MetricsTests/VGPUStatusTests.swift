import JSON
import Metrics
import Testing

/// From the statistics of device processes to a page.
@Suite struct VGPUStatusTests {
    private static let statistics: JSON = [
        "messages": 100, "ringAccesses": 40,
        "reads": ["bar0": 30, "config": 4], "writes": ["bar0": 20], "ringReadsAndWrites": ["bar0": 40],
        "latency": [
            "oneIn": 64, "samples": 6, "nanoseconds": 3000, "buckets": ["256": 1, "512": 2, "1024": 0, "more": 3],
        ],
        "errors": 2, "interrupts": 7, "interruptsByKind": ["intx": 0, "msi": 0, "msix": 7, "error": 0, "request": 0],
        "doorbells": 8, "messageDMABytes": 12, "messageDMABytesRead": 4, "messageDMABytesWritten": 8,
        "mappedDMABytesRead": 4096, "mappedDMABytesWritten": 8192, "dmaMaps": 2, "dmaMappedBytes": 1_073_741_824,
        "frames": 60, "frameRate": 30, "videoMemoryQuota": 33_554_432, "videoMemoryUsed": 16_777_216,
        "sessions": 3, "refusedClients": 1, "deniedClients": 5, "uptimeSeconds": 12.5,
    ]

    private func status(_ statistics: JSON, vgpu: String = "one") -> VGPUStatus {
        VGPUStatus(
            vgpu: vgpu,
            answer: .init(type: "test", name: nil, hasClient: true, statistics: VGPUStatistics(statistics)))
    }

    /// The values of a page's family, with `{vgpu="one",type="test"}` left out.
    private func values(_ name: String, in page: String) -> [String] {
        page.split(separator: "\n").filter { !$0.hasPrefix("#") && $0.hasPrefix("mediated_vgpu_" + name) }
            .map {
                String($0.dropFirst("mediated_vgpu_".count)).replacing(#"{vgpu="one",type="test"}"#, with: "")
                    .replacing(#"vgpu="one",type="test","#, with: "")
            }
    }

    @Test func everyCounterHasItsMetric() {
        let page = VGPUStatus.page(of: [status(Self.statistics)])
        for expected in [
            "uptime_seconds 12.5", "client_connected 1", "messages_total 100", "errors_total 2", "doorbells_total 8",
            "frames_total 60", "dma_maps 2", "dma_mapped_bytes 1073741824", "video_memory_used_bytes 16777216",
            "video_memory_limit_bytes 33554432", "sessions_total 3", "clients_refused_total 1",
            "clients_denied_total 5", #"info{name=""} 1"#,
        ] {
            let name = String(expected.prefix { $0 != " " && $0 != "{" })
            #expect(values(name, in: page) == [expected])
        }
        #expect(
            values("dma_bytes_total", in: page) == [
                #"dma_bytes_total{direction="read",way="mapping"} 4096"#,
                #"dma_bytes_total{direction="write",way="mapping"} 8192"#,
                #"dma_bytes_total{direction="read",way="message"} 4"#,
                #"dma_bytes_total{direction="write",way="message"} 8"#,
            ])
        #expect(
            values("interrupts_total", in: page)
                == zip(["intx", "msi", "msix", "error", "request"], [0, 0, 7, 0, 0]).map {
                    #"interrupts_total{kind="\#($0)"} \#($1)"#
                })
    }

    @Test func accessesFromADomainAreCountedByThemselves() {
        let page = VGPUStatus.page(of: [status(["accesses": 12])])
        #expect(values("domain_accesses_total", in: page) == ["domain_accesses_total 12"])
        #expect(values("accesses_total", in: page).isEmpty)
    }

    @Test func everyRegionIsThereFromTheBeginning() {
        let page = VGPUStatus.page(of: [status(Self.statistics)])
        let accesses = values("accesses_total", in: page)
        #expect(accesses.count == 16)
        #expect(accesses.contains(#"accesses_total{region="bar0",kind="read"} 30"#))
        #expect(accesses.contains(#"accesses_total{region="bar0",kind="write"} 20"#))
        #expect(accesses.contains(#"accesses_total{region="config",kind="write"} 0"#))
        #expect(values("ring_accesses_total", in: page).first == #"ring_accesses_total{region="bar0"} 40"#)
    }

    @Test func latencyIsInSecondsAndSaysThatItIsASample() {
        let page = VGPUStatus.page(of: [status(Self.statistics)])
        #expect(
            values("access_duration_seconds", in: page) == [
                #"access_duration_seconds_bucket{le="2.56e-07"} 1"#,
                #"access_duration_seconds_bucket{le="5.12e-07"} 3"#,
                #"access_duration_seconds_bucket{le="1.024e-06"} 3"#,
                #"access_duration_seconds_bucket{le="+Inf"} 6"#,
                "access_duration_seconds_sum 3e-06",
                "access_duration_seconds_count 6",
            ])
        let help = page.split(separator: "\n").first { $0.hasPrefix("# HELP mediated_vgpu_access_duration_seconds ") }
        #expect(help?.contains("One access in 64 is timed") == true)
    }

    @Test func aProcessThatDoesNotAnswerIsDownAndNothingElse() {
        let page = VGPUStatus.page(of: [VGPUStatus(vgpu: "one", answer: nil)])
        #expect(
            page == """
                # HELP mediated_vgpu_up Whether the vGPU's device process answers.
                # TYPE mediated_vgpu_up gauge
                mediated_vgpu_up{vgpu="one"} 0

                """)
    }

    @Test func severalShareTheirFamilies() {
        let page = VGPUStatus.page(of: [
            status(Self.statistics, vgpu: "a"), VGPUStatus(vgpu: "b", answer: nil), status(["frames": 1], vgpu: "c"),
        ])
        let lines = page.split(separator: "\n")
        #expect(
            lines.filter { $0.hasPrefix("mediated_vgpu_up{") } == [
                #"mediated_vgpu_up{vgpu="a"} 1"#, #"mediated_vgpu_up{vgpu="b"} 0"#, #"mediated_vgpu_up{vgpu="c"} 1"#,
            ])
        #expect(lines.filter { $0.hasPrefix("mediated_vgpu_frames_total") }.count == 2)
        #expect(lines.filter { $0.hasPrefix("# TYPE mediated_vgpu_frames_total") }.count == 1)
        #expect(Set(lines).count == lines.count)
    }

    @Test func theSameNameTwiceMakesOneSeries() {
        let statuses = [
            status(["frames": 1], vgpu: "a"), VGPUStatus(vgpu: "a", answer: nil), status(["frames": 2], vgpu: "a"),
        ]
        #expect(VGPUStatus.metrics(of: statuses) == VGPUStatus.metrics(of: [statuses[0]]))
    }

    // MARK: Processes that say other things

    @Test(
        arguments: [
            JSON.null, [], 7, "text", [:],
            [
                "reads": 7, "frames": "60", "errors": -1, "uptimeSeconds": -0.5, "doorbells": 1.5, "latency": [],
                "interruptsByKind": [1, 2], "sessions": .null,
                "dmaMaps": 170_141_183_460_469_231_731_687_303_715_884_105_727,
            ],
            ["uptimeSeconds": true, "latency": ["buckets": 1, "nanoseconds": 1]],
        ] as [JSON])
    func whatIsNoCountIsLeftOut(statistics: JSON) {
        let page = VGPUStatus.page(of: [status(statistics)])
        let names = Set(page.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { $0.prefix { $0 != "{" } })
        #expect(names == ["mediated_vgpu_up", "mediated_vgpu_info", "mediated_vgpu_client_connected"])
    }

    @Test func unknownNamesAreCountedTogether() {
        let names = (0..<1000).map { ("bar\n\"\($0)", JSON(1)) }
        let page = VGPUStatus.page(of: [
            status(["reads": .object(JSON.Object(names + [("bar1", 5), ("odd", "x")])), "interruptsByKind": ["x": 2]])
        ])
        let reads = values("accesses_total", in: page)
        #expect(reads.count == 9)
        #expect(reads[1] == #"accesses_total{region="bar1",kind="read"} 5"#)
        #expect(reads.last == #"accesses_total{region="other",kind="read"} 1000"#)
        #expect(values("interrupts_total", in: page).last == #"interrupts_total{kind="other"} 2"#)
    }

    @Test func countsThatDoNotFitTogetherAreAsManyAsDo() {
        let statistics = VGPUStatistics(["reads": ["x": JSON(UInt64.max), "y": JSON(UInt64.max)]])
        #expect(statistics.reads?.entries.last?.name == "other")
        #expect(statistics.reads?.entries.last?.count == .max)
        #expect(statistics.reads?.total == .max)
    }

    @Test(
        arguments: [
            ["buckets": ["256": -1], "nanoseconds": 1], ["buckets": ["256": 0.5], "nanoseconds": 1],
            ["buckets": ["256": 1]],
            ["nanoseconds": 1], ["buckets": ["256": JSON(UInt64.max), "512": 1], "nanoseconds": 1],
            ["buckets": ["256": 1], "nanoseconds": -1],
            ["buckets": .object(JSON.Object((1...65).map { ("\($0)", 1) })), "nanoseconds": 1],
        ] as [JSON])
    func latencyThatIsNoneIsLeftOut(latency: JSON) {
        #expect(VGPUStatistics(["latency": latency]).latency == nil)
    }

    @Test func bucketsMayComeInAnyOrderAndUnderAnyName() throws {
        let latency: JSON = ["buckets": ["1024": 4, "much": 1, "+256": 2, "256": 1, "-5": 1], "nanoseconds": 0]
        let histogram = try #require(VGPUStatistics(["latency": latency]).latency)
        #expect(histogram.buckets.map(\.bound) == [256e-9, 1024e-9])
        #expect(histogram.buckets.map(\.count) == [3, 7])
        #expect(histogram.count == 9)
        // Two numbers that are the same double.
        let large: JSON = [
            "buckets": ["18446744073709551614": 1, "18446744073709551615": 1], "nanoseconds": 0,
        ]
        #expect(VGPUStatistics(["latency": large]).latency?.buckets.map(\.count) == [2])
    }

    @Test func textsOfAProcessAreShortAndPrintable() {
        let answer = VGPUStatus.Answer(
            type: "a\nb\u{1b}\u{9b}\u{202e}", name: String(repeating: "x", count: 1_000_000), hasClient: false,
            statistics: VGPUStatistics([:]))
        #expect(answer.name?.count == 200)
        let page = VGPUStatus.page(of: [VGPUStatus(vgpu: "/run/\u{7f}", answer: answer)])
        #expect(page.contains(#"{vgpu="/run/\#u{FFFD}",type="a\nb\#u{FFFD}\#u{FFFD}\#u{FFFD}"}"#))
        #expect(page.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
    }
}
