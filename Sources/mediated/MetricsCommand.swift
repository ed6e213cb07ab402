import ArgumentParser
import Linux
import Metrics

/// `mediated metrics`
struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "Print what device processes count, as a page for Prometheus.",
        discussion: """
            One that doesn't answer is on the page too: its 'mediated_vgpu_up' is 0. With --output the page is for the \
            textfile collector of Prometheus' node_exporter, which never sees a part of it.
            """)

    @OptionGroup var target: WatchedProcesses

    @Option(help: ArgumentHelp("Where to write the page; a file that is there is replaced.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("How long a process may take to answer.", valueName: "seconds"))
    var timeout = 5

    func validate() throws {
        guard (1...3600).contains(timeout) else {
            throw ValidationError("The timeout is \(timeout), but must be from 1 to 3600 seconds.")
        }
    }

    func run() throws {
        let observations = try Observation.all(asking: target.sockets, milliseconds: timeout * 1000)
        let page = VGPUStatus.page(of: observations.map(VGPUStatus.init))
        if let output { try write(page, to: output) } else { print(page, terminator: "") }
        try observations.tellFailures()
    }

    private func write(_ page: String, to path: String) throws(Failure) {
        do throws(Errno) {
            let file = try FileReplacement(path: path)
            let bytes = Array(page.utf8)
            try file.descriptor.writeAll(bytes.span.bytes)
            try file.commit()
        } catch {
            throw Failure(error, cannot: "write the metrics to", path, otherwise: .cannotCreate)
        }
    }
}

extension VGPUStatus {
    fileprivate init(_ observation: Observation) {
        self.init(
            vgpu: observation.socket,
            answer: observation.answer.map {
                Answer(
                    type: $0.info.type, name: $0.info.name, hasClient: $0.info.clientConnected, statistics: $0.statistics)
            })
    }
}
