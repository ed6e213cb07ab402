import ArgumentParser
import DaemonClient
import Metrics

/// `mediated metrics`
struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "Print what device processes count, as a page for Prometheus.",
        discussion: """
            One that doesn't answer is on the page too: its 'mediated_vgpu_up' is 0. With --output the page is for the \
            textfile collector of Prometheus' node_exporter, which never sees a part of it. When none is named it is the \
            daemon's own page: of all vGPUs, parents, types and the daemon.
            """)

    @OptionGroup var target: WatchedProcesses

    @Option(
        help: ArgumentHelp("Where to write the page; a file that is there is replaced.", valueName: "file"),
        completion: .file())
    var output: String?

    @Option(help: ArgumentHelp("How long a process may take to answer.", valueName: "seconds"))
    var timeout = 5

    func validate() throws {
        guard (1...3600).contains(timeout) else {
            throw ValidationError("The timeout is \(timeout), but must be from 1 to 3600 seconds.")
        }
    }

    func run() throws {
        let watched = try target.named()
        guard !watched.isEmpty else { return try publish(try ofDaemon()) }
        let observations = Observation.all(asking: watched, within: .seconds(timeout))
        try publish(VGPUStatus.page(of: observations.map(VGPUStatus.init)))
        try observations.tellFailures()
    }

    private func ofDaemon() throws(Failure) -> String {
        let bytes = try target.daemon.ask { client throws(DaemonClientError) in
            var client = client
            client.patience = .seconds(timeout)
            return try client.bytes("/metrics")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func publish(_ page: String) throws(Failure) {
        if let output {
            try writeFile(Array(page.utf8), to: output, as: "the metrics")
        } else {
            Output.print(page: page)
        }
    }
}

extension VGPUStatus {
    fileprivate init(_ observation: Observation) {
        self.init(
            vgpu: observation.watched.name,
            answer: observation.answer.map {
                Answer(
                    type: $0.info.type, name: $0.info.name, hasClient: $0.info.clientConnected,
                    statistics: $0.statistics)
            })
    }
}
