import ArgumentParser
import DaemonAPI
import DaemonClient
import Mediation

/// Which vGPU a command is for: by a word of its own, or as mdevctl has it.
struct VGPUArgument: ParsableArguments {
    @Argument(help: ArgumentHelp("The vGPU's UUID.", valueName: "vgpu"))
    var word: InstanceID?

    @Option(name: .shortAndLong, help: "The vGPU's UUID, as for mdevctl.")
    var uuid: InstanceID?

    /// The UUID that was given, if any.
    var id: InstanceID? { word ?? uuid }

    func validate() throws {
        guard word == nil || uuid == nil else { throw ValidationError("The vGPU is named twice. Give one UUID.") }
    }

    /// The UUID, of a command that can't do without.
    func required() throws(ValidationError) -> InstanceID {
        guard let id else { throw ValidationError("No vGPU is named. Give its UUID.") }
        return id
    }
}

extension InstanceID: ExpressibleByArgument {
    public init?(argument: String) {
        self.init(argument)
    }

    /// Those that the daemon knows.
    public static var defaultCompletionKind: CompletionKind {
        .custom { words, _, _ in
            DaemonOptions.completions(behind: words) { client throws(DaemonClientError) in
                try client.get("/v1/vgpus", as: VGPUList.self).vgpus.map(\.uuid)
            }
        }
    }
}

extension DaemonOptions {
    /// What the daemon has to offer a shell; nothing when it has no answer at once.
    ///
    /// - Parameter words: the command line, which may name a root.
    static func completions(
        behind words: [String], _ names: (DaemonClient) throws(DaemonClientError) -> [String]
    ) -> [String] {
        var options = DaemonOptions()
        options.root = words.firstIndex(of: "--root").flatMap { words.dropFirst($0 + 1).first }
        guard let directories = try? options.directories() else { return [] }
        return (try? names(DaemonClient(path: directories.daemon, patience: .seconds(2)))) ?? []
    }
}

extension DaemonClient {
    func vgpu(_ id: InstanceID) throws(DaemonClientError) -> VGPU { try get("/v1/vgpus/\(id)") }
}
