import Foundation
import Lab
import Testing

@testable import XenProbe

/// The transport on a real Xen: domains that are made for it are driven from domain 0, in a machine that QEMU emulates.
@Suite(.serialized)
struct RealXenTests {
    @Test(.enabled(if: SharedXen.release.isInLab, "`make lab` brings Xen"))
    func everyCheckPassesInEveryKindOfDomain() throws {
        let xen = try SharedXen()
        try withExtendedLifetime(xen) { try check(xen.machine) }
    }

    @Test(
        .enabled(if: Lab.isThorough, "`make xen` runs it"),
        .enabled(if: XenMachine.Release.debian12.isInLab, "`make lab` brings Xen"))
    func everyCheckPassesOnTheOlderXen() throws {
        try check(XenMachine(.debian12, with: ["XenProbe", "mediated-device"]))
    }

    private func check(_ machine: XenMachine) throws {
        let checks = "\(try XenMachine.path("XenProbe")) \(try XenMachine.path("mediated-device"))"
        var lines: Set<String> = []
        let outcome = try machine.run(checks) { line in
            lines.insert(line)
            FileHandle.standardError.write(Data("xen: \(line)\n".utf8))
        }
        for kind in TestDomain.Kind.allCases {
            let names =
                Check.allCases.filter { $0.suits(kind) }.map(\.rawValue) + FunctionCheck.allCases.map(\.rawValue)
                + ProgramCheck.allCases.map(\.rawValue)
            for name in names where !lines.contains("ok \(kind) \(name)") {
                Issue.record("\(kind) \(name) in:\n\(outcome.output)\n\(machine.console)")
            }
        }
    }
}
