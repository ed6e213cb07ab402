import FuzzSupport

/// Every fuzzer is this program, by another name: `Fuzz/run` makes the links.
@main
enum Fuzzers {
    static func main() throws {
        if CommandLine.arguments.first?.hasSuffix("/seeds") == true {
            return try Seeds.write(Array(CommandLine.arguments.dropFirst()))
        }
        runFuzzer([
            "messages": MessagesFuzzer.self,
            "access-ring": AccessRingFuzzer.self,
            "serial": SerialFuzzer.self,
            "bochs-display": BochsDisplayFuzzer.self,
            "exerciser": ExerciserFuzzer.self,
            "virtio": VirtioFuzzer.self,
            "virtio-gpu": VirtioGPUFuzzer.self,
            "saved-state": SavedStateFuzzer.self,
            "renderer": RendererFuzzer.self,
            "events": EventsFuzzer.self,
            "recordings": RecordingsFuzzer.self,
            "rules": RulesFuzzer.self,
            "replay": ReplayFuzzer.self,
            "xen": XenFuzzer.self,
            "vtest": VTestFuzzer.self,
        ])
    }
}
