import Lab
import Testing

@testable import XenProbe

/// The transport on a real Xen: domains that are made for it are driven from domain 0, in a machine that QEMU emulates.
@Suite(.enabled(if: Lab.hasXen, "`make lab` brings Xen"))
struct RealXenTests {
    @Test func everyCheckPassesInEveryKindOfDomain() throws {
        let said = try XenMachine.run("XenProbe", with: ["mediated-device"])
        let lines = said.split(separator: "\n")
        for kind in TestDomain.Kind.allCases {
            let checks = Check.allCases.filter { $0.suits(kind) }.map(\.rawValue) + [XenProbe.programCheck]
            for check in checks { #expect(lines.contains("ok \(kind) \(check)"), "\(kind) \(check) in:\n\(said)") }
        }
    }
}
