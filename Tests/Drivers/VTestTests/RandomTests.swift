import ScriptedGPU
import SeededRandom
import Testing

/// What the fuzzer `vtest` does, for some seeds.
@Suite struct RandomTests {
    @Test(arguments: 1...40 as ClosedRange<UInt64>) func nothingOfHostileProgramsIsLeft(seed: UInt64) throws {
        var lots = SplitMix(seed: seed)
        let programs = HostilePrograms()
        for _ in 0..<400 { try programs.step(using: &lots) }
        #expect(try programs.leave() == nil)
    }
}
