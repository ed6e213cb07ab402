import Control
import PCI
import Testing
import XenSlot

/// The command line of a process that gives up what a killed one has left.
@Suite struct SlotReleaseTests {
    private static let slot = DomainSlot(domain: 7, address: FunctionAddress("00:05.0")!)

    private func read(_ line: String) throws -> SlotRelease? {
        try SlotRelease(words: line.split(separator: " ").map(String.init))
    }

    @Test func whatIsWrittenIsRead() throws {
        var release = SlotRelease(Self.slot)
        #expect(try SlotRelease(words: release.words) == release)
        release.identity = DeviceArguments.Identity(user: 7, group: 8)
        release.isSandboxed = true
        #expect(try SlotRelease(words: release.words) == release)
    }

    @Test(arguments: ["", "serial --socket s", "--xen 7 --slot 00:05.0 --release-slot"])
    func otherCommandLinesAreOtherRoles(line: String) throws {
        #expect(try read(line) == nil)
    }

    @Test(arguments: [
        ("--release-slot", "--release-slot needs --xen DOMAIN and --slot BB:DD.F."),
        ("--release-slot --xen 7", "--release-slot needs --xen DOMAIN and --slot BB:DD.F."),
        ("--release-slot --slot 00:05.0", "--release-slot needs --xen DOMAIN and --slot BB:DD.F."),
        ("--release-slot --xen 0", "--xen is '0' but must be the number of a domain, from 1 on."),
        ("--release-slot --xen 7 --xen 7", "--xen is given twice; give it once."),
        ("--release-slot --xen 7 --slot 00:05.0 --stay", "--stay has no meaning with --release-slot."),
        ("--release-slot --xen 7 --slot 00:05.0 serial", "'serial' is not understood."),
        ("--release-slot --xen 7 --slot 00:05.0 --uid 1", "--uid and --gid belong together; give both or none."),
    ])
    func whatIsWrongIsSaidInASentence(line: String, problem: String) {
        let error = #expect(throws: DeviceArguments.Problem.self) { try read(line) }
        #expect(error?.description == problem)
    }
}
