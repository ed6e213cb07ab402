extension VGPUStatus {
    /// The metrics of several vGPUs: each family once, with the values of all.
    ///
    /// - Parameter statuses: of those with the same ``vgpu`` the first counts.
    public static func metrics(of statuses: [VGPUStatus]) -> [MetricFamily] {
        var seen: Set<String> = []
        let statuses = statuses.filter { seen.insert($0.vgpu).inserted }
        // Without the type, which nobody knows of a process that doesn't answer: so this series has no gap.
        let up = statuses.map { Metric([MetricLabel("vgpu", $0.vgpu)], $0.answer == nil ? 0.0 : 1.0) }
        return [MetricFamily("mediated_vgpu_up", help: "Whether the vGPU's device process answers.", .gauge(up))]
            + gauges.map { $0.family(of: statuses, MetricFamily.Values.gauge) }
            + counters.map { $0.family(of: statuses, MetricFamily.Values.counter) }
            + [latency.family(of: statuses, MetricFamily.Values.histogram)]
    }

    /// The metrics of several vGPUs as a page for Prometheus.
    public static func page(of statuses: [VGPUStatus]) -> String {
        MetricFamily.text(of: metrics(of: statuses))
    }

    /// What is measured of a vGPU.
    private struct Measure<Value: Equatable & Sendable>: Sendable {
        let name: String
        let help: String
        /// The values, with the labels that tell them apart.
        let values: @Sendable (Answer) -> [Metric<Value>]

        init(_ name: String, _ help: String, _ values: @escaping @Sendable (Answer) -> [Metric<Value>]) {
            self.name = name
            self.help = help
            self.values = values
        }

        func family(
            of statuses: [VGPUStatus], _ kind: ([Metric<Value>]) -> MetricFamily.Values
        ) -> MetricFamily {
            let metrics = statuses.flatMap { status -> [Metric<Value>] in
                guard let answer = status.answer else { return [] }
                let labels = [MetricLabel("vgpu", status.vgpu), MetricLabel("type", answer.type)]
                return values(answer).map { Metric(labels + $0.labels, $0.value) }
            }
            return MetricFamily("mediated_vgpu_" + name, help: help, kind(metrics))
        }
    }

    private static let gauges: [Measure<Double>] = [
        Measure("info", "What the vGPU's device process was started as; always 1.") {
            [Metric([MetricLabel("name", $0.name ?? "")], 1)]
        },
        Measure("uptime_seconds", "How long the device process has been there.") {
            single($0.statistics.uptimeSeconds)
        },
        Measure("client_connected", "Whether a client, such as a virtual machine, has the vGPU.") {
            single($0.hasClient ? 1 : 0)
        },
        Measure("dma_maps", "Pieces of guest memory that the device may use now.") { count($0.statistics.dmaMaps) },
        Measure("dma_mapped_bytes", "How much guest memory the device may use now.") {
            count($0.statistics.dmaMappedBytes)
        },
        Measure("video_memory_used_bytes", "How much memory the vGPU's video memory takes.") {
            count($0.statistics.videoMemoryUsed)
        },
        Measure("video_memory_limit_bytes", "How much video memory the vGPU may have.") {
            count($0.statistics.videoMemoryLimit)
        },
    ]

    private static let counters: [Measure<Double>] = [
        Measure("messages_total", "Messages from clients, of any kind.") { count($0.statistics.messages) },
        Measure("accesses_total", "Reads and writes that the device process answered, by region.") {
            counts($0.statistics.reads, by: "region", MetricLabel("kind", "read"))
                + counts($0.statistics.writes, by: "region", MetricLabel("kind", "write"))
        },
        Measure("ring_accesses_total", "Those of mediated_vgpu_accesses_total that came by an access ring.") {
            counts($0.statistics.ringReadsAndWrites, by: "region")
        },
        Measure("domain_accesses_total", "Reads and writes from a Xen domain that the device process answered.") {
            count($0.statistics.domainAccesses)
        },
        Measure("errors_total", "Messages and accesses that were answered with an error.") {
            count($0.statistics.errors)
        },
        Measure("dma_bytes_total", "Guest memory that the device read and wrote, by mapping or by message.") {
            bytes($0.statistics.mappedDMABytesRead, "read", "mapping")
                + bytes($0.statistics.mappedDMABytesWritten, "write", "mapping")
                + bytes($0.statistics.messageDMABytesRead, "read", "message")
                + bytes($0.statistics.messageDMABytesWritten, "write", "message")
        },
        Measure("interrupts_total", "Interrupts sent to the client.") {
            counts($0.statistics.interruptsByKind, by: "kind")
        },
        Measure("doorbells_total", "Doorbells that were rung by eventfd.") { count($0.statistics.doorbells) },
        Measure("frames_total", "Pictures read from the vGPU's display.") { count($0.statistics.frames) },
        Measure("sessions_total", "Clients that were served.") { count($0.statistics.sessions) },
        Measure("clients_refused_total", "Clients that came while another was there.") {
            count($0.statistics.refusedClients)
        },
        Measure("clients_denied_total", "Clients that may not have the vGPU.") { count($0.statistics.deniedClients) },
    ]

    private static let latency = Measure<Histogram>(
        "access_duration_seconds",
        "How long the device process took for an access. One access in 64 is timed; only those are counted here."
    ) { $0.statistics.latency.map { [Metric([], $0)] } ?? [] }

    // MARK: Values

    private static func single(_ value: Double?) -> [Metric<Double>] { value.map { [Metric([], $0)] } ?? [] }

    private static func count(_ count: UInt64?) -> [Metric<Double>] { single(count.map { Double($0) }) }

    private static func counts(
        _ counts: CountsByName?, by name: String, _ labels: MetricLabel...
    ) -> [Metric<Double>] {
        counts?.entries.map { Metric([MetricLabel(name, $0.name)] + labels, Double($0.count)) } ?? []
    }

    private static func bytes(_ count: UInt64?, _ direction: String, _ way: String) -> [Metric<Double>] {
        let labels = [MetricLabel("direction", direction), MetricLabel("way", way)]
        return count.map { [Metric(labels, Double($0))] } ?? []
    }
}
