import FuzzSupport
import ScriptedGPU

/// Programs that say what they like to a bridge. When they have gone, nothing of theirs is left on the vGPU.
final class VTestFuzzer: FuzzTarget {
    private(set) var reach = Reach(HostilePrograms.Deed.allCases.map(\.rawValue))

    init() {}

    func run(_ input: inout Input) throws {
        let programs = HostilePrograms()
        var deeds: [HostilePrograms.Deed] = []
        programs.note = { deeds.append($0) }
        while !input.isEmpty { try programs.step(using: &input) }
        if let finding = try programs.leave() { fuzzFailed(finding) }
        for deed in deeds { reach.note(deed.rawValue) }
    }
}
